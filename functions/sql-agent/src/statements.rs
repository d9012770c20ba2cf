//! The statements themselves: fixed texts, bound arguments. Table names come from the checked plan only.

use crate::connect::Refusal;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_postgres::Client;
use understudy_core::ddl::{APPLICATION_WRITE, COMMIT_TRIGGER, GATE_TRIGGER, JOB_RUNS, LOCK, UNLOCK};
use understudy_core::plan::Store;
use understudy_core::sql::{FailureClass, FenceLook, Lsn, Replica, Written};
use understudy_core::time::{Millis, after};

/// Commits a heartbeat, then reads what has been written up to it.
pub async fn heartbeat(client: &Client, store: &Store) -> Result<Written, Refusal> {
    let before: Timestamp = client.query_one("select clock_timestamp()", &[]).await?.try_get(0)?;
    client
        .execute(
            "insert into understudy.heartbeat (id, beat_at) values (1, clock_timestamp()) \
             on conflict (id) do update set beat_at = excluded.beat_at",
            &[],
        )
        .await?;
    let row = client.query_one("select clock_timestamp(), pg_current_wal_lsn()::text", &[]).await?;
    let position: String = row.try_get(1)?;
    let gated = gated(client, store).await?;
    let written = Written {
        before,
        committed_at: row.try_get(0)?,
        position: lsn(&position)?,
        rows: BTreeMap::new(),
        gate_armed: gated && lease_ends(client).await? && !prepares(client).await?,
        ungated_writers: if gated { Vec::new() } else { other_writers(client, store).await? },
        job_runs: job_runs(client).await,
    };
    // Last: behind a count that was given up the session answers nothing more.
    Ok(Written { rows: count_rows(client, store).await, ..written })
}

/// A note and no proof: the gates alone arm. Whatever goes wrong here is unknown, and costs no heartbeat.
async fn job_runs(client: &Client) -> Option<bool> {
    let there = client.query_one("select to_regprocedure($1) is not null", &[&JOB_RUNS]).await.ok()?;
    if !there.try_get::<_, bool>(0).ok()? {
        return None;
    }
    client.query_one(&format!("select {JOB_RUNS}"), &[]).await.ok()?.try_get(0).ok()
}

/// Who beside the plan's writers can log in and change its tables. Superusers can do anything and are nobody's
/// writers; a managed database has none of its users'.
async fn other_writers(client: &Client, store: &Store) -> Result<Vec<String>, Refusal> {
    let rows = client
        .query(
            "select rolname::text from pg_roles where rolcanlogin and not rolsuper \
             and rolname <> all ($1::text[]) and exists ( \
               select from unnest($2::text[]) as wanted \
               where has_table_privilege(rolname, to_regclass(wanted), 'insert, update, delete, truncate')) \
             order by rolname",
            &[&store.writer_roles, &store.tables],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// All counting of one statement. A large table says nothing of whether a server writes, so that it must never cost
/// the heartbeat that says so.
const COUNTED_WITHIN: Duration = Duration::from_secs(1);

/// A table that cannot be counted in time is left out: absent is Unknown, zero would be a claim.
async fn count_rows(client: &Client, store: &Store) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    let counting = async {
        for table in &store.tables {
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
    rows
}

/// The lease row that the gates read runs out: a row without end would stop nobody.
async fn lease_ends(client: &Client) -> Result<bool, Refusal> {
    let row = client
        .query_one("select exists (select from understudy.lease where isfinite(valid_until))", &[])
        .await?;
    Ok(row.try_get(0)?)
}

/// The server takes prepared transactions: their gate is passed when they are prepared, and nothing stops their commit
/// however late it comes.
async fn prepares(client: &Client) -> Result<bool, Refusal> {
    let row =
        client.query_one("select current_setting('max_prepared_transactions')::integer > 0", &[]).await?;
    Ok(row.try_get(0)?)
}

/// Both gates are enabled on every table of the plan and on the application's own test table.
async fn gated(client: &Client, store: &Store) -> Result<bool, Refusal> {
    let gates = vec![GATE_TRIGGER, COMMIT_TRIGGER];
    let mut tables = store.tables.clone();
    tables.push(APPLICATION_WRITE.to_owned());
    let row = client
        .query_one(
            "select not exists ( \
               select from unnest($1::text[]) as wanted, unnest($2::text[]) as gate where not exists ( \
                 select from pg_trigger where tgrelid = to_regclass(wanted) and tgname = gate and tgenabled = 'A'))",
            &[&tables, &gates],
        )
        .await?;
    Ok(row.try_get(0)?)
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
    let written = transaction
        .execute(
            "update understudy.lease set epoch = $1, holder = $2, \
             valid_until = coalesce($3::timestamptz, 'infinity') where epoch <= $1",
            &[&epoch, &holder, &until],
        )
        .await?;
    newest(written, epoch)?;
    transaction.execute(&format!("select {UNLOCK}"), &[]).await?;
    transaction.commit().await?;
    Ok(())
}

/// Stops every writer under `epoch`: row and lock in one transaction, so that whoever sets the row for an older
/// epoch later neither revives it nor lifts the lock. Then looks who is left.
pub async fn fence(
    client: &mut Client,
    store: &Store,
    epoch: u64,
    holder: &str,
) -> Result<FenceLook, Refusal> {
    let number = i64::try_from(epoch).map_err(|_| failed("the epoch is out of range"))?;
    let transaction = client.transaction().await?;
    let written = transaction
        .execute(
            "update understudy.lease set epoch = $1, holder = $2, valid_until = clock_timestamp() where epoch <= $1",
            &[&number, &holder],
        )
        .await?;
    newest(written, number)?;
    transaction.execute(&format!("select {LOCK}"), &[]).await?;
    transaction.commit().await?;
    let left = client
        .query_one(
            "select (select count(*) from pg_stat_activity where usename = any ($1::text[])), \
             (select count(*) from pg_prepared_xacts where database = current_database())",
            &[&store.writer_roles],
        )
        .await?;
    let count = |column: usize| -> Result<u64, Refusal> {
        let count: i64 = left.try_get(column)?;
        u64::try_from(count).map_err(|_| failed("a count below zero"))
    };
    // Last: whatever was committed before the look lies before this heartbeat.
    Ok(FenceLook { sessions: count(0)?, prepared: count(1)?, written: heartbeat(client, store).await? })
}

fn newest(written: u64, epoch: i64) -> Result<(), Refusal> {
    if written == 1 {
        return Ok(());
    }
    let detail = format!("the lease row holds an epoch above {epoch}");
    Err(Refusal { class: FailureClass::Fenced, detail })
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
    Ok(Replica {
        in_recovery: row.try_get(0)?,
        received: received.as_deref().map(lsn).transpose()?,
        replayed: replayed.as_deref().map(lsn).transpose()?,
        replayed_commit_at: row.try_get(3)?,
        replay_paused: row.try_get(4)?,
        rows: count_rows(client, store).await,
        now: row.try_get(5)?,
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
