//! What a database needs before its plan can be armed: the `understudy` schema, the statement gate, the lock on
//! the writers, the grants.
//!
//! Text only, made from a checked plan; nothing here runs it. A database administrator does, once, on the
//! primary; everything replicates. No statement needs a superuser: an administrator needs CREATEROLE with the
//! admin option on the writer roles, membership in the tables' owner, and membership in `pg_signal_backend`.

use crate::plan::{Lease, Plan, Store};
use std::fmt::Write;

/// The trigger that stops every writing statement once the lease row has run out.
pub const GATE_TRIGGER: &str = "understudy_gate";
/// The trigger that stops the commit of what was written before it ran out.
pub const COMMIT_TRIGGER: &str = "understudy_commit_gate";
/// The functions that lock the writers out and let them in again.
pub const LOCK: &str = "understudy.lock_writers()";
pub const UNLOCK: &str = "understudy.unlock_writers()";
/// The job of pg_cron that does the same once the lease has run out, where the server has pg_cron.
pub const JOB: &str = "understudy_dead_man";
/// Whether that job ran of late.
pub const JOB_RUNS: &str = "understudy.job_runs()";
/// Where the application's own login proves that it can write.
pub const APPLICATION_WRITE: &str = "understudy.application_write";

/// The script for one store, idempotent, to be run as the database's owner.
pub fn script(plan: &Plan, store: &Store) -> String {
    let mut sql = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        sql,
        "-- Understudy, plan `{plan}`, store `{store}`: run once on the primary; replicas receive it.\n\
         -- Safe to run again. Before the guard starts, the lease has no end and nothing is stopped.\n\
         begin;\n\n{SCHEMA}",
        plan = plan.name,
        store = store.name,
    );
    let _ = write!(sql, "{}{}", locks(store), job());
    let _ = write!(sql, "{}", grants(store));
    for table in store.tables.iter().map(String::as_str).chain([APPLICATION_WRITE]) {
        let _ = write!(sql, "{}", gate(table));
    }
    for role in &store.writer_roles {
        let _ = write!(sql, "{}", bounds(role, &plan.lease));
    }
    sql.push_str("\ncommit;\n");
    sql
}

const SCHEMA: &str = r"create schema if not exists understudy;

create table if not exists understudy.lease (
  id integer primary key default 1 check (id = 1),
  epoch bigint not null,
  holder text not null,
  valid_until timestamptz not null
);
insert into understudy.lease (epoch, holder, valid_until) values (0, '', 'infinity') on conflict do nothing;

create table if not exists understudy.heartbeat (
  id integer primary key default 1 check (id = 1),
  beat_at timestamptz not null
);

-- Writer roles that a fence locked out, so that lifting it lets in those and no others.
create table if not exists understudy.locked (
  role name primary key,
  locked_at timestamptz not null default clock_timestamp()
);

create table if not exists understudy.application_write (
  token text primary key,
  written_at timestamptz not null default clock_timestamp()
);

-- The dead-man: past the lease no statement writes, whatever the session has set.
-- Before each writing statement, and once more at commit: a transaction that wrote in time may not end late.
create or replace function understudy.gate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $gate$
begin
  if not exists (select from understudy.lease where valid_until > clock_timestamp()) then
    raise exception 'the lease of this database has run out; it takes no writes'
      using errcode = 'US001', hint = 'another Region may have taken over: ask its operators';
  end if;
  return null;
end
$gate$;
";

/// The fence of a primary that gives way, and its lifting. They run with the rights of whoever runs this script,
/// on the plan's writer roles only, so that the operator role itself may alter no role.
fn locks(store: &Store) -> String {
    let roles = store.writer_roles.iter().map(|role| format!("'{role}'")).collect::<Vec<_>>().join(", ");
    format!(
        "
-- Writers may not log in, and their sessions end. What they have not committed is rolled back.
create or replace function understudy.lock_writers() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $lock$
declare
  writer name;
begin
  for writer in select rolname from pg_roles where rolname = any (array[{roles}]::name[]) and rolcanlogin loop
    execute format('alter role %I nologin', writer);
    insert into understudy.locked (role) values (writer) on conflict do nothing;
  end loop;
  perform pg_terminate_backend(pid) from pg_stat_activity where usename = any (array[{roles}]::name[]);
end
$lock$;

create or replace function understudy.unlock_writers() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $unlock$
declare
  writer name;
begin
  for writer in delete from understudy.locked returning role loop
    execute format('alter role %I login', writer);
  end loop;
end
$unlock$;

revoke all on function understudy.lock_writers(), understudy.unlock_writers() from public;
"
    )
}

/// The second form of the dead-man: where pg_cron is, a job that locks the writers out past the lease and ends their
/// sessions, also the idle ones. It runs as whoever runs this script. Without it the script goes on, and says so: the
/// gate is everywhere.
fn job() -> String {
    format!(
        "
-- Past the lease the writers are locked out; true when they were. Nothing is written while the lease lasts.
create or replace function understudy.lapse() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $lapse$
begin
  if exists (select from understudy.lease where valid_until > clock_timestamp()) then
    return false;
  end if;
  -- Waits for a renewal that is being written, and looks again: whom that lets in, this must not lock out.
  perform from understudy.lease for update;
  if exists (select from understudy.lease where valid_until > clock_timestamp()) then
    return false;
  end if;
  perform understudy.lock_writers();
  return true;
end
$lapse$;

-- Looks every ten seconds for a minute, for not every pg_cron counts in seconds. What it locks counts when it ends.
create or replace function understudy.watch_lease() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $watch$
begin
  for look in 1..6 loop
    exit when understudy.lapse() or look = 6;
    perform pg_sleep(10);
  end loop;
end
$watch$;

create or replace function {JOB_RUNS} returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $runs$
declare
  runs boolean := false;
begin
  if to_regclass('cron.job_run_details') is not null then
    execute 'select exists (select from cron.job join cron.job_run_details as run using (jobid) '
      'where jobname = $1 and active and run.status in (''running'', ''succeeded'') '
      'and run.start_time > clock_timestamp() - interval ''3 minutes'')' into runs using '{JOB}';
  end if;
  return runs;
exception when insufficient_privilege then
  return false;
end
$runs$;

revoke all on function understudy.lapse(), understudy.watch_lease(), {JOB_RUNS} from public;

do $cron$
begin
  if to_regclass('cron.job') is null then
    raise warning 'no pg_cron in database %: past the lease statements are refused, and idle sessions stay open',
      current_database() using hint = 'to end those as well: preload pg_cron, set cron.database_name to this '
      'database, create the extension, and run this script again';
    return;
  end if;
  perform cron.schedule('{JOB}', '* * * * *', 'select understudy.watch_lease()');
  perform cron.schedule('{JOB}_log', '17 3 * * *', 'delete from cron.job_run_details where command = '
    '''select understudy.watch_lease()'' and end_time < now() - interval ''1 day''');
exception when others then
  raise warning 'pg_cron takes no job of %: %', current_user, sqlerrm
    using hint = 'idle sessions stay open past the lease. As the owner of its schema: grant usage on schema cron '
    'to this role; then run this script again';
end
$cron$;
"
    )
}

fn grants(store: &Store) -> String {
    let operator = &store.operator_role;
    let mut sql = format!(
        "\ngrant usage on schema understudy to {operator};\n\
         grant select, insert, update on understudy.lease, understudy.heartbeat to {operator};\n\
         grant execute on function understudy.lock_writers(), understudy.unlock_writers(), {JOB_RUNS} to {operator};\n\
         grant pg_monitor to {operator};\n"
    );
    for table in &store.tables {
        let schema = table.split('.').next().unwrap_or("public");
        let _ = write!(
            sql,
            "grant usage on schema {schema} to {operator};\ngrant select on {table} to {operator};\n"
        );
    }
    for role in &store.writer_roles {
        let _ = write!(
            sql,
            "grant usage on schema understudy to {role};\n\
             grant select, insert, update on {APPLICATION_WRITE} to {role};\n"
        );
    }
    sql
}

/// `always`: a session that turns ordinary triggers off does not turn off these. The second is deferred to the
/// commit, row by row: without it a transaction could write in time, linger, and commit after the lease.
fn gate(table: &str) -> String {
    format!(
        "\ndrop trigger if exists {GATE_TRIGGER} on {table};\n\
         create trigger {GATE_TRIGGER} before insert or update or delete or truncate on {table}\n\
         \x20 for each statement execute function understudy.gate();\n\
         alter table {table} enable always trigger {GATE_TRIGGER};\n\
         drop trigger if exists {COMMIT_TRIGGER} on {table};\n\
         create constraint trigger {COMMIT_TRIGGER} after insert or update or delete on {table}\n\
         \x20 deferrable initially deferred for each row execute function understudy.gate();\n\
         alter table {table} enable always trigger {COMMIT_TRIGGER};\n"
    )
}

/// What passed the commit gate still has to reach the disk; a statement that hangs there ends within the margin.
fn bounds(role: &str, lease: &Lease) -> String {
    let half = lease.commit_margin.0 / 2;
    format!(
        "\nalter role {role} set statement_timeout = '{half}ms';\n\
         alter role {role} set idle_in_transaction_session_timeout = '{half}ms';\n"
    )
}
