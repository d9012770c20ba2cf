//! The statements themselves: fixed texts, bound arguments. Table names come from the checked plan only.

use crate::connect::Refusal;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use understudy_core::ddl::{
    APPLICATION_WRITE, AT_COMMIT, BOUNDS, ENDS_SINCE, GATE_RELATIVE, GATE_TRIGGER, JOB_RUNS, LEASE_END, LOCK,
    UNBOUNDED, UNLOCK, script_digest,
};
use understudy_core::plan::Store;
use understudy_core::sql::{
    FailureClass, FenceLook, LeaseInside, Lineage, Lsn, Replica, WriterSessions, Written,
};
use understudy_core::time::{Millis, after};

/// Commits a heartbeat, then reads what has been written up to it. What is looked at beside it is looked at `until` then, and
/// what was not seen by then is missing: a heartbeat that was committed is answered, whatever a catalog or a table holds.
/// `bound`: the longest time-outs that the plan's margin allows a writer; `None` where the plan arms nothing.
pub async fn heartbeat(
    client: &Client,
    store: &Store,
    bound: Option<Millis>,
    until: Instant,
) -> Result<Written, Refusal> {
    let (mut written, free) = beat(client, store, bound, until).await?;
    if free {
        let _ = timeout_at(until, aside(client, store, bound, &mut written)).await;
    }
    Ok(written)
}

/// What a heartbeat does beside what it attests. Each bounds itself in the server: behind a statement that was given up here
/// the session answers nothing more.
async fn aside(client: &Client, store: &Store, bound: Option<Millis>, written: &mut Written) {
    if bound.is_some() {
        gate_relatives(client, store).await;
    }
    written.job_runs = job_runs(client).await;
    count_rows(client, store, &mut written.rows).await;
}

/// A heartbeat that counts nothing, and whether its session is free for more.
async fn beat(
    client: &Client,
    store: &Store,
    bound: Option<Millis>,
    until: Instant,
) -> Result<(Written, bool), Refusal> {
    let before: Timestamp = client.query_one("select clock_timestamp()", &[]).await?.try_get(0)?;
    let lease = lease_inside(client).await;
    client
        .execute(
            "insert into understudy.heartbeat (id, beat_at) values (1, clock_timestamp()) \
             on conflict (id) do update set beat_at = excluded.beat_at",
            &[],
        )
        .await?;
    let row = client.query_one("select clock_timestamp(), pg_current_wal_lsn()::text", &[]).await?;
    let position: String = row.try_get(1)?;
    let mut looked = Looked::default();
    let within = until.min(Instant::now() + LOOKED_WITHIN);
    let free = timeout_at(within, look(client, store, bound, &mut looked)).await.is_ok();
    let mut unarmed = looked.unarmed();
    if let Err(refusal) = &lease {
        unarmed.push(format!("its lease could not be read: {}", refusal.detail));
    }
    let written = Written {
        before,
        committed_at: row.try_get(0)?,
        position: lsn(&position)?,
        rows: BTreeMap::new(),
        gate_armed: unarmed.is_empty(),
        unarmed,
        lease: lease.ok(),
        ungated_writers: looked.writers(),
        sessions: looked.sessions,
        lineage: looked.lineage,
        job_runs: None,
    };
    Ok((written, free))
}

/// All looks of one heartbeat. A large catalog says nothing of whether a server writes, so that looking round in it must
/// never cost the heartbeat that says so.
const LOOKED_WITHIN: Duration = Duration::from_secs(2);
/// Why something was not seen.
const NOT_IN_TIME: &str = "it was not answered in time";

/// What a heartbeat sees beside its own write. What was not seen is unarmed, and somebody who may write (L4).
#[derive(Default)]
struct Looked {
    /// Tables without a gate.
    ungated: Option<Vec<String>>,
    /// What gets past gates that stand.
    round: Option<Vec<String>>,
    /// Who writes without firing one.
    past: Option<Vec<String>>,
    /// Who else may write; asked only where a gate is missing, for one that stands stops everybody.
    others: Option<Vec<String>>,
    sessions: Option<WriterSessions>,
    lineage: Option<Lineage>,
}

impl Looked {
    fn unarmed(&self) -> Vec<String> {
        let past = self
            .past
            .as_ref()
            .map(|past| past.iter().map(|who| format!("{who} writes past the gates")).collect::<Vec<_>>());
        let told = |seen: Option<Vec<String>>, what: &str| {
            seen.unwrap_or_else(|| vec![format!("{what} is not known: {NOT_IN_TIME}")])
        };
        let ungated = told(self.ungated.clone(), "whether its gates stand");
        let round = told(self.round.clone(), "what gets past its gates");
        ungated.into_iter().chain(told(past, "who writes past its gates")).chain(round).collect()
    }

    fn writers(&self) -> Vec<String> {
        let told = |seen: &Option<Vec<String>>| {
            seen.clone().unwrap_or_else(|| vec![format!("who else may write is not known: {NOT_IN_TIME}")])
        };
        let gated = self.ungated.as_ref().is_some_and(Vec::is_empty);
        let others = if gated { Vec::new() } else { told(&self.others) };
        others.into_iter().chain(told(&self.past)).collect()
    }
}

async fn look(client: &Client, store: &Store, bound: Option<Millis>, looked: &mut Looked) {
    let lacking = told(ungated(client, store).await);
    let gated = lacking.is_empty();
    looked.ungated = Some(lacking);
    looked.round = Some(told(ways_round(client, store, bound).await));
    looked.past = Some(told(writes_past(client, store).await));
    looked.sessions = writer_sessions(client, store).await.ok();
    looked.lineage = lineage(client, false).await.ok();
    if !gated {
        looked.others = Some(other_writers(client, store).await);
    }
}

/// What could not be read keeps the dead-man from counting as armed, and costs no heartbeat (L4).
fn told(read: Result<Vec<String>, Refusal>) -> Vec<String> {
    read.unwrap_or_else(|refusal| {
        vec![format!("whether its gates stand could not be read: {}", refusal.detail)]
    })
}

/// The lease as this database holds it.
async fn lease_inside(client: &Client) -> Result<LeaseInside, Refusal> {
    let row = client
        .query_one(
            "select epoch, case when isfinite(since) then since end, \
             case when isfinite(valid_until) then valid_until end from understudy.lease",
            &[],
        )
        .await?;
    Ok(LeaseInside { epoch: unsigned(row.try_get(0)?)?, since: row.try_get(1)?, ends: row.try_get(2)? })
}

/// Which cluster this is. A replica's control file names the timeline of its last restart point, which may be older than
/// the one that it streams.
async fn lineage(client: &Client, replica: bool) -> Result<Lineage, Refusal> {
    let streamed = if replica { "(select received_tli from pg_stat_wal_receiver)" } else { "null::integer" };
    let statement = format!(
        "select system_identifier::text, coalesce({streamed}, timeline_id) \
         from pg_control_system(), pg_control_checkpoint()"
    );
    let row = client.query_one(&statement, &[]).await?;
    let timeline: i32 = row.try_get(1)?;
    let timeline = u32::try_from(timeline).map_err(|_| failed("a timeline below zero"))?;
    Ok(Lineage { system: row.try_get(0)?, timeline })
}

/// What the plan's writers have open. What a session set for itself nobody else can see; the gate notes it as it writes.
async fn writer_sessions(client: &Client, store: &Store) -> Result<WriterSessions, Refusal> {
    let row = client
        .query_one(
            &format!(
                "select pg_has_role(current_user, 'pg_read_all_stats', 'usage'), \
                 count(*), count(*) filter (where backend_start < set_at), \
                 coalesce(max(extract(epoch from clock_timestamp() - xact_start) * 1000), 0)::bigint, \
                 (select case when last_value > 0 then to_timestamp(last_value / 1000000.0) end from {UNBOUNDED}), \
                 (select count(*) from pg_prepared_xacts where database = current_database()) \
                 from pg_stat_activity left join {BOUNDS} on role = usename where usename = any ($1::text[])"
            ),
            &[&store.writer_roles],
        )
        .await?;
    // Of others' sessions nothing is hidden but their content: zeros that nobody counted would look good (L4).
    if !row.try_get::<_, bool>(0)? {
        return Err(failed("the operator's role may not see what sessions do"));
    }
    Ok(WriterSessions {
        open: unsigned(row.try_get(1)?)?,
        unbounded: unsigned(row.try_get(2)?)?,
        longest: Millis(unsigned(row.try_get(3)?)?),
        unbounded_wrote_at: row.try_get(4)?,
        prepared: Some(unsigned(row.try_get(5)?)?),
    })
}

/// A note and no proof: the gates alone arm. Whatever goes wrong here, or takes long, is unknown.
async fn job_runs(client: &Client) -> Option<bool> {
    client.batch_execute("set statement_timeout = 300").await.ok()?;
    let there = client.query_one("select to_regprocedure($1) is not null", &[&JOB_RUNS]).await.ok()?;
    if !there.try_get::<_, bool>(0).ok()? {
        return None;
    }
    client.query_one(&format!("select {JOB_RUNS}"), &[]).await.ok()?.try_get(0).ok()
}

/// Who beside the plan's writers can log in and change its tables: by a right of their own or of a role that they may
/// become, on the whole table or on a column, on the table or on a part of it. Superusers can do anything and are
/// nobody's writers; a managed database has none of its users'. A list that could not be read names somebody unknown.
async fn other_writers(client: &Client, store: &Store) -> Vec<String> {
    let read = client
        .query(
            "with member as materialized (select distinct family.member from unnest($2::text[]) as wanted, \
               lateral understudy.family(to_regclass(wanted)) as family(member)), \
             held as materialized (select oid from pg_roles where not rolsuper and exists (select from member \
               where has_table_privilege(pg_roles.oid, member, 'insert, update, delete, truncate') \
                 or has_any_column_privilege(pg_roles.oid, member, 'insert, update'))) \
             select rolname::text from pg_roles as login where rolcanlogin and not rolsuper \
               and rolname <> all ($1::text[]) \
               and exists (select from held where pg_has_role(login.oid, held.oid, 'member')) \
             order by rolname",
            &[&store.writer_roles, &store.tables],
        )
        .await;
    let names = read.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect());
    names.unwrap_or_else(|error| vec![format!("somebody whose rights could not be read ({error})")])
}

/// Who writes without firing a gate: a subscription's apply worker.
async fn writes_past(client: &Client, store: &Store) -> Result<Vec<String>, Refusal> {
    let rows = client
        .query(
            "select distinct format('the subscription `%s`', subname) \
               from pg_subscription join pg_subscription_rel on srsubid = pg_subscription.oid \
               where subenabled and srrelid in (select member from unnest($1::text[]) as wanted, \
                 lateral understudy.family(to_regclass(wanted)) as member)",
            &[&store.tables],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// All counting of one statement. A large table says nothing of whether a server writes, so that it must never cost
/// the heartbeat that says so.
const COUNTED_WITHIN: Duration = Duration::from_secs(1);

/// A table that cannot be counted in time is left out of `rows`: absent is Unknown, zero would be a claim.
async fn count_rows(client: &Client, store: &Store, rows: &mut BTreeMap<String, u64>) {
    let counting = async {
        // The server gives up as well: a scan that nobody waits for would go on beside the application.
        let within = format!("set statement_timeout = {}", COUNTED_WITHIN.as_millis());
        if client.batch_execute(&within).await.is_err() {
            return;
        }
        for table in store.counted() {
            let count = client.query_one(&format!("select count(*) from {table}"), &[]).await;
            let count =
                count.ok().and_then(|row| row.try_get::<_, i64>(0).ok()).and_then(|n| u64::try_from(n).ok());
            if let Some(count) = count {
                rows.insert(table.clone(), count);
            }
        }
    };
    // What was counted by then stands.
    let _ = tokio::time::timeout(COUNTED_WITHIN, counting).await;
}

/// Relatives of listed tables that one heartbeat gives their gate at the most.
const GATED_AT_ONCE: i64 = 8;

/// A partition comes every day: what lacks its gate gets it, one a transaction, and the next heartbeat finds it. The first
/// one that is busy ends this: each waits a moment for its table, and its writers with it. What cannot have its gate is
/// named by the look; in no order, so that such keep none waiting that can.
async fn gate_relatives(client: &Client, store: &Store) {
    if client.batch_execute("set statement_timeout = 500").await.is_err() {
        return;
    }
    let lacking = client
        .query(
            &format!(
                "select id from (select distinct member::oid as id from unnest($1::text[]) as wanted, \
                   lateral understudy.family(to_regclass(wanted)) as member) as relative \
                   where not exists (select from pg_trigger where tgrelid = id and tgname = '{GATE_TRIGGER}' \
                     and tgenabled = 'A') \
                   order by random() limit {GATED_AT_ONCE}"
            ),
            &[&store.tables],
        )
        .await;
    for row in lacking.unwrap_or_default() {
        let Ok(relative) = row.try_get::<_, u32>(0) else { continue };
        let put = client.execute(&format!("select {GATE_RELATIVE}({relative}::oid::regclass)"), &[]).await;
        let busy = |error: &tokio_postgres::Error| {
            let waited = [&SqlState::LOCK_NOT_AVAILABLE, &SqlState::QUERY_CANCELED];
            error.code().is_some_and(|code| waited.contains(&code))
        };
        if put.is_err_and(|error| busy(&error)) {
            return;
        }
    }
}

/// Tables that no gate guards, in words: the plan's, all that is part of them, and the application's own test table.
/// The look at the commit hangs on one function for all.
async fn ungated(client: &Client, store: &Store) -> Result<Vec<String>, Refusal> {
    let mut tables = store.tables.clone();
    tables.push(APPLICATION_WRITE.to_owned());
    let rows = client
        .query(
            &format!(
                "select format('`%s` is no table here', wanted) from unnest($1::text[]) as wanted \
                   where not exists (select from pg_class where oid = to_regclass(wanted)) \
                 union all \
                 select format('`%s` is a foreign table or a view, and cannot be guarded', member) \
                   from unnest($1::text[]) as wanted, lateral understudy.family(to_regclass(wanted)) as member \
                   where exists (select from pg_class where oid = member and relkind not in ('r', 'p')) \
                 union all \
                 select format('`%s` has no gate', member) \
                   from unnest($1::text[]) as wanted, lateral understudy.family(to_regclass(wanted)) as member \
                   where not exists (select from pg_trigger where tgrelid = member and tgname = '{GATE_TRIGGER}' \
                     and tgenabled = 'A' and tgfoid = to_regprocedure('understudy.gate()') \
                     and tgtype = 60 and tgqual is null and tgattr = '') \
                 union all \
                 select 'no commit is looked at: `{AT_COMMIT}` is missing' where to_regprocedure('{AT_COMMIT}()') is null"
            ),
            &[&tables],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// What gets past gates that stand, in words.
async fn ways_round(client: &Client, store: &Store, bound: Option<Millis>) -> Result<Vec<String>, Refusal> {
    let digest = script_digest(store, bound);
    let bound = bound.and_then(|bound| i64::try_from(bound.0).ok());
    let rows = client
        .query(
            &format!(
                "select 'the lease has no end' from understudy.lease where not isfinite(valid_until) \
                 union all \
                 select 'the gates read another end than the lease has: somebody set `{LEASE_END}`' \
                   from understudy.lease, {LEASE_END} where isfinite(valid_until) \
                   and last_value <> greatest((extract(epoch from valid_until) * 1000000)::bigint, 0) \
                 union all \
                 select format('%s transactions are open that may have written before the lease had an end', count(*)) \
                   from pg_stat_activity, {ENDS_SINCE} where datname = current_database() and backend_xid is not null \
                     and (xact_start is null or xact_start <= to_timestamp(last_value / 1000000.0)) having count(*) > 0 \
                 union all \
                 select format('`%s` may not see what sessions do: it wants `pg_monitor`, and to inherit it', current_user) \
                   where not pg_has_role(current_user, 'pg_read_all_stats', 'usage') \
                 union all \
                 select format('%s prepared transactions wait: what wrote before the lease had an end may be among them', count(*)) \
                   from pg_prepared_xacts where database = current_database() having count(*) > 0 \
                 union all \
                 select format('a commit may wait for the foreign server `%s`, past every look at it', srvname) \
                   from pg_foreign_server join pg_foreign_data_wrapper as wrapper on wrapper.oid = srvfdw \
                   where fdwname = 'postgres_fdw' \
                 union all \
                 select 'a commit may wait for another one''s replica, past every look at it: `synchronous_standby_names` is set' \
                   where current_setting('synchronous_standby_names') <> '' \
                 union all \
                 select format('`%s` has not the time-outs of this plan: run the script of `understudy plan sql` again', wanted) \
                   from unnest($1::text[]) as wanted where $2::bigint is not null and not exists ( \
                     select from {BOUNDS} where role = wanted and span <= make_interval(secs => $2 / 1000.0)) \
                 union all \
                 select 'the script that ran here is not that of this plan and this version: run the script of \
                     `understudy plan sql` again' \
                   where not exists (select from pg_description where objoid = to_regnamespace('understudy') \
                     and classoid = 'pg_namespace'::regclass and description = $3) \
                 union all \
                 select format('`%s` may change what the gates hang on: `understudy.%s`', pg_get_userbyid(held.grantee), name) \
                   from (select relname as name, relowner as owner, relacl as acl from pg_class \
                       where relnamespace = to_regnamespace('understudy') and relname <> 'application_write' \
                     union all select proname, proowner, proacl from pg_proc \
                       where pronamespace = to_regnamespace('understudy') and prosecdef \
                     union all select '(the schema itself)', nspowner, nspacl from pg_namespace where nspname = 'understudy' \
                     union all select relname || '.' || attname, relowner, attacl from pg_attribute \
                       join pg_class on pg_class.oid = attrelid \
                       where relnamespace = to_regnamespace('understudy') and relname <> 'application_write') as ours, \
                     lateral aclexplode(acl) as held \
                   where held.grantee not in (owner, current_user::regrole::oid) \
                     and held.privilege_type not in ('SELECT', 'REFERENCES', 'MAINTAIN') \
                     and (name <> '(the schema itself)' or held.privilege_type = 'CREATE')"
            ),
            &[&store.writer_roles, &bound, &digest],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Sets the lease row, unless a newer epoch stands there: an epoch never falls. Who is let write may log in again,
/// in the same transaction.
pub async fn set_lease(
    client: &mut Client,
    epoch: u64,
    holder: &str,
    since: Option<Timestamp>,
    valid_ms: Option<u64>,
) -> Result<(), Refusal> {
    let epoch = i64::try_from(epoch).map_err(|_| failed("the epoch is out of range"))?;
    let until = match (since, valid_ms) {
        (Some(since), Some(valid)) => Some(after(since, Millis(valid))),
        (None, Some(_)) => return Err(failed("a lease that ends needs an instant to count from")),
        (_, None) => None,
    };
    let transaction = client.transaction().await?;
    // The job of pg_cron holds the row while it locks the writers: what it locked is let in again behind it.
    transaction.execute("select from understudy.lease for update", &[]).await?;
    // The row is written last: its sequence moves at once, also past a roll-back. What has no end yet takes a fence's row whatever
    // clock wrote that: it ends when it begins, and a renewal does not.
    transaction.execute(&format!("select {UNLOCK}"), &[]).await?;
    let written = transaction
        .execute(
            "update understudy.lease set epoch = $1, holder = $2, valid_until = coalesce($3::timestamptz, 'infinity'), \
             since = coalesce($4::timestamptz, clock_timestamp()) \
             where epoch < $1 or (epoch = $1 and case when $4::timestamptz is null \
               then valid_until <= greatest(since, clock_timestamp()) else since <= $4 end)",
            &[&epoch, &holder, &until, &since],
        )
        .await?;
    if written == 0 {
        // A renewal that comes late, behind a newer one of its own epoch, changes nothing: its unlocking is taken back too.
        return newest(&transaction, epoch).await;
    }
    transaction.commit().await?;
    Ok(())
}

/// Stops every writer under `epoch`: row and lock in one transaction, so that whoever sets the row for an older
/// epoch later neither revives it nor lifts the lock. Then looks who is left.
pub async fn fence(
    client: &mut Client,
    store: &Store,
    bound: Option<Millis>,
    (epoch, holder): (u64, &str),
    until: Instant,
) -> Result<FenceLook, Refusal> {
    let number = i64::try_from(epoch).map_err(|_| failed("the epoch is out of range"))?;
    let transaction = client.transaction().await?;
    transaction.execute("select from understudy.lease for update", &[]).await?;
    newest(&transaction, number).await?;
    transaction.execute(&format!("select {LOCK}"), &[]).await?;
    // The row last: its sequence moves at once, also past a roll-back.
    transaction
        .execute(
            "update understudy.lease set epoch = $1, holder = $2, valid_until = clock_timestamp(), \
             since = clock_timestamp() where epoch <= $1",
            &[&number, &holder],
        )
        .await?;
    transaction.commit().await?;
    let left = client
        .query_one(
            "with ours as (select pid from pg_stat_activity where usename = any ($1::text[])) \
             select (select count(*) from ours), \
             (select count(*) from pg_prepared_xacts where database = current_database()), \
             (select count(distinct pid) from pg_locks where locktype = 'relation' and granted \
               and database = (select oid from pg_database where datname = current_database()) \
               and mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') \
               and pid <> pg_backend_pid() and pid not in (select pid from ours) \
               and relation in (select member from unnest($2::text[]) as wanted, \
                 lateral understudy.family(to_regclass(wanted)) as member))",
            &[&store.writer_roles, &store.tables],
        )
        .await?;
    // Last: whatever was committed before the look lies before this heartbeat.
    Ok(FenceLook {
        sessions: unsigned(left.try_get(0)?)?,
        prepared: unsigned(left.try_get(1)?)?,
        others: Some(unsigned(left.try_get(2)?)?),
        written: beat(client, store, bound, until).await?.0,
    })
}

/// The row was not taken: because it holds a newer epoch, or only a newer renewal of the same.
async fn newest(transaction: &tokio_postgres::Transaction<'_>, epoch: i64) -> Result<(), Refusal> {
    let there: i64 = transaction.query_one("select epoch from understudy.lease", &[]).await?.try_get(0)?;
    if there <= epoch {
        return Ok(());
    }
    let detail = format!("the lease row holds epoch {there}, above {epoch}");
    Err(Refusal { class: FailureClass::Fenced, detail })
}

fn unsigned(count: i64) -> Result<u64, Refusal> {
    u64::try_from(count).map_err(|_| failed("a count below zero"))
}

pub async fn replica_status(client: &Client, store: &Store) -> Result<Replica, Refusal> {
    // On a server that is no replica the replay functions answer null: null stays unknown.
    let row = client
        .query_one(
            "select pg_is_in_recovery(), pg_last_wal_receive_lsn()::text, pg_last_wal_replay_lsn()::text, \
             pg_last_xact_replay_timestamp(), \
             case when pg_is_in_recovery() then pg_is_wal_replay_paused() else false end, clock_timestamp()",
            &[],
        )
        .await?;
    let received: Option<String> = row.try_get(1)?;
    let replayed: Option<String> = row.try_get(2)?;
    let lineage = lineage(client, true).await.ok();
    // Last: behind a count that was given up the session answers nothing more.
    let mut rows = BTreeMap::new();
    count_rows(client, store, &mut rows).await;
    Ok(Replica {
        in_recovery: row.try_get(0)?,
        received: received.as_deref().map(lsn).transpose()?,
        replayed: replayed.as_deref().map(lsn).transpose()?,
        replayed_commit_at: row.try_get(3)?,
        replay_paused: row.try_get(4)?,
        now: row.try_get(5)?,
        lineage,
        rows,
    })
}

pub async fn application_read(client: &Client) -> Result<(), Refusal> {
    client.query_one("select 1", &[]).await?;
    Ok(())
}

pub async fn application_write(client: &Client, token: &str) -> Result<(), Refusal> {
    let statement = format!(
        "insert into {APPLICATION_WRITE} (token) values ($1) \
         on conflict (token) do update set written_at = clock_timestamp()"
    );
    client.execute(&statement, &[&token]).await?;
    Ok(())
}

pub async fn application_read_back(client: &Client, token: &str) -> Result<(), Refusal> {
    let statement = format!("select 1 from {APPLICATION_WRITE} where token = $1");
    match client.query_opt(&statement, &[&token]).await? {
        Some(_) => Ok(()),
        None => Err(failed("the row that was committed cannot be read back")),
    }
}

fn lsn(text: &str) -> Result<Lsn, Refusal> {
    text.parse().map_err(|error: String| failed(&error))
}

fn failed(detail: &str) -> Refusal {
    Refusal { class: FailureClass::Sql, detail: detail.to_owned() }
}
