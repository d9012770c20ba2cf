//! The three things that the application asks of its database, each bounded.

use crate::failure::{Class, Failure};
use crate::pool::Pool;
use serde::Serialize;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;

const HEALTH_MAX: Duration = Duration::from_secs(1);
/// Below the second that clients wait, so that they hear why.
const WRITE_MAX: Duration = Duration::from_millis(900);
const LIST_MAX: Duration = Duration::from_secs(5);

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// COMMIT returned.
    Committed,
    /// The same transaction was committed by an earlier attempt.
    AlreadyThere,
}

/// One row of the list.
#[derive(Debug, Serialize)]
pub struct Listed {
    pub id: i64,
    pub tx: String,
}

pub async fn health(pool: &Pool) -> Result<(), Failure> {
    bounded(HEALTH_MAX, async {
        let mut lent = pool.get().await?;
        lent.client().query_one("select 1", &[]).await?;
        lent.give_back();
        Ok(())
    })
    .await
}

/// Writes the document in a transaction of its own.
pub async fn write(pool: &Pool, tx: &str, body: &str) -> Result<Written, Failure> {
    bounded(WRITE_MAX, async {
        match insert(pool, tx, body).await {
            // Only a committed row of the same transaction makes a repetition; any other conflict is one.
            Err(conflict) if conflict.class == Class::UniqueViolation => {
                if exists(pool, tx).await? {
                    Ok(Written::AlreadyThere)
                } else {
                    Err(conflict)
                }
            }
            result => result.map(|()| Written::Committed),
        }
    })
    .await
}

/// The documents after `after`, in the order of their ids.
pub async fn list(pool: &Pool, after: i64, limit: i64) -> Result<Vec<Listed>, Failure> {
    bounded(LIST_MAX, async {
        let mut lent = pool.get().await?;
        let statement =
            "select id::bigint, tx::text from public.documents where id > $1::bigint order by id limit $2::bigint";
        let rows = lent.client().query(statement, &[&after, &limit]).await?;
        let listed = rows.iter().map(|row| Ok(Listed { id: row.try_get(0)?, tx: row.try_get(1)? }));
        let listed = listed.collect::<Result<_, tokio_postgres::Error>>()?;
        lent.give_back();
        Ok(listed)
    })
    .await
}

async fn insert(pool: &Pool, tx: &str, body: &str) -> Result<(), Failure> {
    let mut lent = pool.get().await?;
    let transaction = lent.client().transaction().await?;
    transaction.execute("insert into public.documents (tx, body) values ($1, $2)", &[&tx, &body]).await?;
    transaction.commit().await?;
    lent.give_back();
    Ok(())
}

async fn exists(pool: &Pool, tx: &str) -> Result<bool, Failure> {
    let mut lent = pool.get().await?;
    let found = lent.client().query_opt("select 1 from public.documents where tx = $1", &[&tx]).await?;
    lent.give_back();
    Ok(found.is_some())
}

/// A connection that is still busy at the end of its time is dropped with the work, not given back.
async fn bounded<T>(longest: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| Failure::new(Class::Timeout, format!("no answer within {} ms", longest.as_millis()));
    timeout(longest, work).await.map_err(late)?
}
