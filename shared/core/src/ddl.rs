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
    let _ = write!(sql, "{}", locks(store));
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

fn grants(store: &Store) -> String {
    let operator = &store.operator_role;
    let mut sql = format!(
        "\ngrant usage on schema understudy to {operator};\n\
         grant select, insert, update on understudy.lease, understudy.heartbeat to {operator};\n\
         grant execute on function understudy.lock_writers(), understudy.unlock_writers() to {operator};\n\
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
