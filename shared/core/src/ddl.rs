//! What a database needs before its plan can be armed: the `understudy` schema, the statement gate, the lock on
//! the writers, the grants.
//!
//! Text only, made from a checked plan; nothing here runs it. A database administrator does, once, on the
//! primary; everything replicates. No statement needs a superuser: an administrator needs CREATEROLE with the
//! admin option on the writer roles, membership in the tables' owner, and membership in `pg_signal_backend`.
//!
//! The gate, in short. The end of the lease stands in a sequence, because a sequence's value is current in every
//! isolation level, where a row is read by the transaction's snapshot. A trigger on each table looks at it behind every
//! writing statement, and declares, once a transaction, a cursor `with hold`. PostgreSQL reads such a cursor to its end
//! within the commit, behind everything that was deferred, and the cursor looks at the lease: no `set constraints`, no
//! read-only transaction and no slow trigger comes behind it.

use crate::journal::sha256_hex;
use crate::plan::{OnLeaseLoss, Plan, Store};
use crate::time::Millis;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The trigger that stops every writing statement once the lease has run out, on each table and its partitions.
pub const GATE_TRIGGER: &str = "understudy_gate";
/// The function that stops the commit of what was written before it ran out; the cursor below calls it.
pub const AT_COMMIT: &str = "understudy.at_commit";
/// The cursor that each writing transaction declares. One is left in the session until its next write, or `close all`.
const COMMIT_CURSOR: &str = "understudy_commit";
/// The end of the lease as the gates read it: microseconds since 1970, [`NO_END`] where it has none.
pub const LEASE_END: &str = "understudy.lease_end";
/// A lease without end, as [`LEASE_END`] holds it.
pub const NO_END: i64 = i64::MAX;
/// Since when the lease has had an end, as [`LEASE_END`] counts. A transaction that is older may have written unseen.
pub const ENDS_SINCE: &str = "understudy.ends_since";
/// When a writer last wrote whose own time-outs are longer than the margin, as [`LEASE_END`] counts; 0: never.
pub const UNBOUNDED: &str = "understudy.unbounded_at";
/// The time-outs that the script gave the writer roles, and since when: an older session has not got them.
pub const BOUNDS: &str = "understudy.bound";
/// The functions that lock the writers out and let them in again.
pub const LOCK: &str = "understudy.lock_writers()";
pub const UNLOCK: &str = "understudy.unlock_writers()";
/// Puts the gate on one table that became part of a listed one since.
pub const GATE_RELATIVE: &str = "understudy.gate_relative";
/// The job of pg_cron that does the same once the lease has run out, where the server has pg_cron.
pub const JOB: &str = "understudy_dead_man";
/// Whether that job ran of late.
pub const JOB_RUNS: &str = "understudy.job_runs()";
/// Where the application's own login proves that it can write.
pub const APPLICATION_WRITE: &str = "understudy.application_write";

/// No statement of the script waits longer than this for a lock: whoever waits lets nobody else pass.
/// And no name of it means what somebody made in a schema of theirs.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '2s';\nset local search_path = pg_catalog, pg_temp;";

/// The script for one store, idempotent, to be run as the database's owner. One transaction for the schema and one for
/// each table, so that none holds more than one table's lock, and one that finds a table busy costs no other.
pub fn script(plan: &Plan, store: &Store) -> String {
    let mut sql = String::new();
    let bound = commit_bound(plan);
    // Writing to a String cannot fail.
    let _ = write!(
        sql,
        "-- Understudy, plan `{plan}`, store `{store}`: run once on the primary; replicas receive it.\n\
         -- Safe to run again. Before the guard starts, the lease has no end and nothing is stopped.\n\
         -- A table that is in use for longer than two seconds is left out, with an error: run it again when it is quiet.\n\
         begin;\n{LOCK_TIMEOUT}\n\n{schema}\ncomment on schema understudy is '{digest}';\ncommit;\n",
        plan = plan.name,
        store = store.name,
        schema = schema(store, bound),
        digest = script_digest(store, bound),
    );
    for table in store.tables.iter().map(String::as_str).chain([APPLICATION_WRITE]) {
        let _ = write!(sql, "\nbegin;\n{LOCK_TIMEOUT}\nselect understudy.put_gate('{table}');\ncommit;\n");
    }
    for role in &store.writer_roles {
        let _ = match commit_bound(plan) {
            Some(bound) => write!(sql, "{}", bounds(role, bound)),
            None => write!(sql, "{}", unbound(role)),
        };
    }
    sql
}

/// All that the gates hang on, in one transaction.
fn schema(store: &Store, bound: Option<Millis>) -> String {
    let names = store.tables.iter().map(|table| format!("('{table}')")).collect::<Vec<_>>().join(", ");
    format!(
        "{PUBLISHED}{SCHEMA}{gate}{PUT_GATE}{LEASE}{locks}{job}{OURS}{grants}\ndelete from understudy.listed;\n\
         insert into understudy.listed (name) select distinct name from (values {names}) as plan (name);\n",
        gate = gate(bound),
        locks = locks(store),
        job = job(),
        grants = grants(store),
    )
}

/// What the comment of the schema says of the script that ran there last. `bound` as [`commit_bound`] gives it. A heartbeat
/// that finds another one counts as unarmed: the gates may be those of an older version.
pub fn script_digest(store: &Store, bound: Option<Millis>) -> String {
    sha256_hex(schema(store, bound).as_bytes())
}

/// Half of the commit margin for one statement, half for a pause between two. Nobody's time-outs are touched before
/// the dead-man is armed: with `stay` no commit of a writer is ever waited for.
pub fn commit_bound(plan: &Plan) -> Option<Millis> {
    (plan.lease.on_loss == OnLeaseLoss::Fence).then_some(Millis(plan.lease.commit_margin.0 / 2))
}

/// A subscriber that has none of our tables would stop at the first change of one, and its slot would keep the log.
const PUBLISHED: &str = r"do $published$
declare
  found text;
begin
  select pubname into found from pg_publication where puballtables limit 1;
  if found is not null and to_regclass('understudy.lease') is null
      and coalesce(current_setting('understudy.published', true), '') <> 'accepted' then
    raise exception 'the publication % is for all tables, and would publish those of this script', found
      using hint = 'publish the tables that subscribers have by name; or create the schema understudy with its tables '
      'there as well, and run this script behind: set understudy.published to accepted';
  end if;
end
$published$;

";

const SCHEMA: &str = r"create schema if not exists understudy;

-- Who may write until when. The gates read the end from the sequence below, which follows this row.
create table if not exists understudy.lease (
  id integer primary key default 1 check (id = 1),
  epoch bigint not null,
  holder text not null,
  valid_until timestamptz not null
);
-- When the heartbeat began that this end was counted from: an older one that comes late changes nothing.
alter table understudy.lease add column if not exists since timestamptz not null default '-infinity';
insert into understudy.lease (epoch, holder, valid_until) values (0, '', 'infinity') on conflict do nothing;

create sequence if not exists understudy.lease_end as bigint minvalue 0 start 9223372036854775807;
create sequence if not exists understudy.ends_since as bigint minvalue 0 start 0;
create sequence if not exists understudy.unbounded_at as bigint minvalue 0 start 0;
-- A sequence that was never set answers nothing but its start, and that says nothing of a replica.
select setval('understudy.unbounded_at', last_value) from understudy.unbounded_at;
select setval('understudy.ends_since', last_value) from understudy.ends_since;
do $end$
declare
  was bigint;
  ends timestamptz;
begin
  select valid_until into strict ends from understudy.lease for update;
  select last_value into strict was from understudy.lease_end;
  perform setval('understudy.lease_end', case when ends = 'infinity' then 9223372036854775807
    when isfinite(ends) then greatest((extract(epoch from ends) * 1000000)::bigint, 0) else 0 end);
  if ends <> 'infinity' and was = 9223372036854775807 then
    perform setval('understudy.ends_since', (extract(epoch from clock_timestamp()) * 1000000)::bigint);
  end if;
end
$end$;

create table if not exists understudy.heartbeat (
  id integer primary key default 1 check (id = 1),
  beat_at timestamptz not null
);

-- Writer roles that a fence locked out, so that lifting it lets in those and no others.
create table if not exists understudy.locked (
  role name primary key,
  locked_at timestamptz not null default clock_timestamp()
);

-- The time-outs of the writer roles, and since when a new session has them.
create table if not exists understudy.bound (
  role name primary key,
  span interval not null,
  set_at timestamptz not null
);

create table if not exists understudy.application_write (
  token text primary key,
  written_at timestamptz not null default clock_timestamp()
);
";

/// The dead-man itself. `bound`: longer time-outs than this of a session are noted as it writes.
fn gate(bound: Option<Millis>) -> String {
    let unbounded = bound.map_or_else(String::new, |bound| {
        format!(
            "
    if not (current_setting('statement_timeout')::interval between '1 ms' and '{bound} ms'
        and current_setting('idle_in_transaction_session_timeout')::interval between '1 ms' and '{bound} ms') then
      perform setval('{UNBOUNDED}', (extract(epoch from clock_timestamp()) * 1000000)::bigint);
    end if;",
            bound = bound.0
        )
    });
    let patience = bound.map_or_else(String::new, |bound| {
        format!(
            "
  -- Behind this look a commit may still wait for locks: to empty temporary tables, and to notify. No other time-out counts
  -- within a commit.
  if not (current_setting('lock_timeout')::interval between '1 ms' and '{half} ms') then
    perform set_config('lock_timeout', '{half}ms', true);
  end if;",
            half = bound.0 / 2
        )
    });
    format!(
        "
-- The dead-man: past the lease no statement writes, whatever the session has set.
create or replace function understudy.refuse_past_lease() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $refuse$
declare
  ends bigint;
begin
  select last_value into strict ends from {LEASE_END};
  if ends <= extract(epoch from clock_timestamp()) * 1000000 then
    raise exception 'the lease of this database has run out; it takes no writes'
      using errcode = 'US001', hint = 'another Region may have taken over: ask its operators';
  end if;
end
$refuse$;

-- Called by the cursor below as the commit reads it to its end. What it notes tells, in the next transaction, that the
-- cursor was left by an earlier one.
create or replace function {AT_COMMIT}() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $commit$
declare
  ends bigint;
begin
  select last_value into strict ends from {LEASE_END};
  if ends <= extract(epoch from clock_timestamp()) * 1000000 then
    perform understudy.refuse_past_lease();
  end if;{patience}
  perform set_config('understudy.left', extract(epoch from creation_time)::text, false)
    from pg_cursors where name = '{COMMIT_CURSOR}';
end
$commit$;

-- Behind each writing statement, before anything else can come behind it. The mark goes with a savepoint that is rolled
-- back, and so does the cursor that it stands for: the next statement declares another. While the lease has no end,
-- nothing is declared, for nothing is stopped.
create or replace function understudy.gate() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $gate$
declare
  ends bigint;
  made timestamptz;
begin
  select last_value into strict ends from {LEASE_END};
  if ends = {NO_END} then
    return null;
  end if;
  if ends <= extract(epoch from clock_timestamp()) * 1000000 then
    perform understudy.refuse_past_lease();
  end if;
  if coalesce(current_setting('understudy.looks_at_commit', true), '') <> pg_current_xact_id()::text then
    select creation_time into made from pg_cursors where name = '{COMMIT_CURSOR}';
    if made < now() or extract(epoch from made)::text = current_setting('understudy.left', true) then
      execute 'close {COMMIT_CURSOR}';
      made := null;
    end if;
    if made is null then
      execute 'declare {COMMIT_CURSOR} no scroll cursor with hold for select {AT_COMMIT}()';
    end if;
    perform set_config('understudy.looks_at_commit', pg_current_xact_id()::text, true);{unbounded}
  end if;
  return null;
end
$gate$;

revoke all on function understudy.refuse_past_lease(), {AT_COMMIT}(), understudy.gate() from public;
"
    )
}

/// `always`: a session that turns ordinary triggers off does not turn off these. A statement trigger fires for the table
/// that the statement names alone, so each partition and each child has its own. What is gated already is not touched.
const PUT_GATE: &str = r"
-- A table with all that a statement on another name may write of it, or that it may write: its children, and the parents
-- of each.
create or replace function understudy.family(member regclass) returns setof regclass
language sql stable set search_path = pg_catalog, pg_temp as $family$
  with recursive below as (
    select member::oid as id union select inhrelid from pg_inherits join below on inhparent = id),
  above as (
    select id from below union select inhparent from pg_inherits join above on inhrelid = id)
  select id::regclass from above join pg_class on oid = id where relpersistence <> 't'
$family$;

create or replace function understudy.put_gate_on(member regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $one$
begin
  if not exists (select from pg_trigger where tgrelid = member and tgname = 'understudy_gate' and tgenabled = 'A'
      and tgfoid = 'understudy.gate()'::regprocedure and tgtype = 60 and tgqual is null and tgattr = '') then
    execute format('drop trigger if exists understudy_gate on %s', member);
    execute format('create trigger understudy_gate after insert or update or delete or truncate on %s '
      'for each statement execute function understudy.gate()', member);
    execute format('alter table %s enable always trigger understudy_gate', member);
  end if;
end
$one$;

create or replace function understudy.put_gate(listed regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $put$
declare
  member regclass;
  until timestamptz := clock_timestamp() + interval '2 seconds';
begin
  -- Two seconds for all: what is locked stays locked while the next is waited for.
  for member in select understudy.family(listed) loop
    perform set_config('lock_timeout',
      greatest(1, (extract(epoch from until - clock_timestamp()) * 1000)::integer) || 'ms', true);
    perform understudy.put_gate_on(member);
  end loop;
end
$put$;

-- The gate for one partition or child that came since, of a table that the plan lists: called behind a heartbeat that missed
-- it, one a transaction. With the rights of whoever runs this script, and for those tables alone. It waits for no writer:
-- whoever waits for a table lets nobody else pass.
create table if not exists understudy.listed (
  name text primary key
);

create or replace function understudy.gate_relative(relative regclass) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '100ms' as $relative$
begin
  if exists (select from understudy.listed, lateral understudy.family(to_regclass(name)) as member where member = relative) then
    perform understudy.put_gate_on(relative);
  end if;
end
$relative$;
revoke all on function understudy.put_gate_on(regclass), understudy.put_gate(regclass),
  understudy.gate_relative(regclass) from public;
";

/// The sequence follows the row, whoever sets that: the row's lock orders the two, and its epoch and `since` were held
/// against what stood there. The sequence moves at once, and is on the disk when the row is.
const LEASE: &str = r"
create or replace function understudy.set_lease_end() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $set$
declare
  was bigint;
begin
  select last_value into strict was from understudy.lease_end;
  perform setval('understudy.lease_end', case when new.valid_until = 'infinity' then 9223372036854775807
    when isfinite(new.valid_until) then greatest((extract(epoch from new.valid_until) * 1000000)::bigint, 0) else 0 end);
  -- Behind the end: whoever read that there was none began before this. What the gates read may have been without one
  -- though the row was not: a sequence keeps what a roll-back takes from the row.
  if new.valid_until <> 'infinity' and (tg_op = 'INSERT' or was = 9223372036854775807) then
    perform setval('understudy.ends_since', (extract(epoch from clock_timestamp()) * 1000000)::bigint);
  end if;
  return null;
end
$set$;
revoke all on function understudy.set_lease_end() from public;
drop trigger if exists understudy_lease_end on understudy.lease;
create trigger understudy_lease_end after insert or update on understudy.lease
  for each row execute function understudy.set_lease_end();
alter table understudy.lease enable always trigger understudy_lease_end;
";

/// The fence of a primary that gives way, and its lifting. They run with the rights of whoever runs this script,
/// on the plan's writer roles only, so that the operator role itself may alter no role.
fn locks(store: &Store) -> String {
    let roles = store.writer_roles.iter().map(|role| format!("'{role}'")).collect::<Vec<_>>().join(", ");
    format!(
        "
-- Writers may not log in, and their sessions end. What they have not committed is rolled back.
create or replace function understudy.lock_writers() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $lock$
declare
  writer name;
begin
  -- First, for one of them may hold a lock on its own role; and again, for one may have come in between.
  perform pg_terminate_backend(pid) from pg_stat_activity where usename = any (array[{roles}]::name[]);
  for writer in select rolname from pg_roles where rolname = any (array[{roles}]::name[]) and rolcanlogin loop
    execute format('alter role %I nologin', writer);
    insert into understudy.locked (role) values (writer) on conflict do nothing;
  end loop;
  -- Within a transaction the list of sessions is read once.
  perform pg_stat_clear_snapshot();
  perform pg_terminate_backend(pid) from pg_stat_activity where usename = any (array[{roles}]::name[]);
end
$lock$;

create or replace function understudy.unlock_writers() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $unlock$
declare
  writer name;
begin
  for writer in select role from understudy.locked loop
    begin
      if exists (select from pg_roles where rolname = writer) then
        execute format('alter role %I login', writer);
      end if;
      delete from understudy.locked where role = writer;
    exception when insufficient_privilege then
      -- One that cannot be let in must keep nobody else out, nor the lease from being renewed.
      raise warning 'the role % stays locked out: %', writer, sqlerrm;
    end;
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
-- Past the lease the writers are locked out; true when they were. Nothing is written while the lease lasts. Null: it was
-- renewed meanwhile, and whoever looks again must end its transaction first, which holds the row.
create or replace function understudy.lapse() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $lapse$
begin
  if exists (select from understudy.lease where valid_until > clock_timestamp()) then
    return false;
  end if;
  -- Looks again behind the row's lock: whom a renewal lets in, this must not lock out. One that is being written is not
  -- waited for.
  perform from understudy.lease for update skip locked;
  if not found or exists (select from understudy.lease where valid_until > clock_timestamp()) then
    return null;
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
    exit when understudy.lapse() is distinct from false or look = 6;
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

/// Default privileges of the owner may have given these to anybody: who may change them may open the gates.
const OURS: &str = r"
do $ours$
declare
  other text;
begin
  for other in select distinct case held.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(held.grantee)) end
      from (select nspowner as owner, nspacl as acl from pg_namespace where nspname = 'understudy'
        union all select relowner, relacl from pg_class where relnamespace = 'understudy'::regnamespace
        union all select proowner, proacl from pg_proc where pronamespace = 'understudy'::regnamespace) as ours,
      lateral aclexplode(acl) as held where held.grantee <> owner loop
    execute format('revoke all on schema understudy from %s cascade', other);
    execute format('revoke all on all tables in schema understudy from %s cascade', other);
    execute format('revoke all on all sequences in schema understudy from %s cascade', other);
    execute format('revoke all on all routines in schema understudy from %s cascade', other);
  end loop;
end
$ours$;
";

fn grants(store: &Store) -> String {
    let operator = &store.operator_role;
    let mut sql = format!(
        "\ngrant usage on schema understudy to {operator};\n\
         grant select, insert, update on understudy.lease, understudy.heartbeat to {operator};\n\
         grant select on {LEASE_END}, {ENDS_SINCE}, {UNBOUNDED}, {BOUNDS} to {operator};\n\
         grant execute on function understudy.family(regclass), {GATE_RELATIVE}(regclass) to {operator};\n\
         grant execute on function understudy.lock_writers(), understudy.unlock_writers(), {JOB_RUNS} to {operator};\n\
         grant pg_monitor to {operator};\n"
    );
    let read: BTreeSet<&String> = store.tables.iter().chain(store.counted()).collect();
    for table in read {
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

/// These end a statement, or a session that pauses in a transaction, so that it reaches its commit soon; they end no
/// commit, nor the flush of the log, for which the margin is. A session that is open already keeps what it has, and one may
/// set its own: both are looked for at each heartbeat.
fn bounds(role: &str, bound: Millis) -> String {
    let bound = bound.0;
    format!(
        "
begin;
{LOCK_TIMEOUT}
alter role {role} set statement_timeout = '{bound}ms';
alter role {role} set idle_in_transaction_session_timeout = '{bound}ms';
insert into {BOUNDS} as there (role, span, set_at) values ('{role}', '{bound} ms', clock_timestamp())
  on conflict (role) do update set span = excluded.span,
    set_at = case when there.span > excluded.span then excluded.set_at else there.set_at end;
commit;
"
    )
}

/// Takes back what [`bounds`] set, where it did.
fn unbound(role: &str) -> String {
    format!(
        "
begin;
{LOCK_TIMEOUT}
do $unbound$
begin
  if exists (select from {BOUNDS} where role = '{role}') then
    alter role {role} reset statement_timeout;
    alter role {role} reset idle_in_transaction_session_timeout;
    delete from {BOUNDS} where role = '{role}';
  end if;
end
$unbound$;
commit;
"
    )
}
