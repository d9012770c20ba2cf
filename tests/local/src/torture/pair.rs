//! The two servers of one lane: made once, and for each round copied afresh, so that no round sees what another did.
//!
//! A copy costs a fraction of a second where a new pair costs several, and is the same: both servers were stopped in
//! order when it was taken.

use super::TortureError;
use crate::config::{Cloud, Place};
use crate::postgres::{SUPERUSER, Server, Stop};
use crate::python::run;
use crate::up::{self, APPLICATION_PASSWORD};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use understudy_core::plan::Plan;

const STREAMS_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What a server takes that takes prepared transactions.
const PREPARED: u32 = 20;

/// What the application wrote before: beside it a few rows on their way are no inconsistency.
const FORMER: &str = "insert into public.documents (tx) select 'former-' || n from generate_series(1, $1) n";
const FORMER_ROWS: i32 = 20_000;

/// A table that inherits from the plan's; it is gated as one that came later is.
pub const CHILD: &str = "public.documents_child";
/// A role that the plan does not name among its writers.
pub const UNLISTED: &str = "etl";

fn others() -> String {
    format!(
        "create table {CHILD} () inherits (public.documents); \
         alter table {CHILD} owner to administrator; \
         grant insert on {CHILD} to public; \
         create role {UNLISTED} login password '{APPLICATION_PASSWORD}'; \
         grant insert (tx, body) on public.documents to {UNLISTED}; \
         grant usage on sequence public.documents_id_seq to {UNLISTED}; \
         set session authorization administrator; \
         select understudy.put_gate('public.documents');"
    )
}

/// A library that keeps a server's flushes waiting while the file is there.
const STALL: &str = include_str!("stall.c");
const STALL_FILE: &str = "stall";

/// Compiled here: whoever can build this has the linker's own compiler.
async fn stall_library(cloud: &Cloud) -> Result<PathBuf, TortureError> {
    let (source, library) = (cloud.state_dir.join("stall.c"), cloud.state_dir.join("stall.so"));
    let failed = |source| TortureError::File { path: library.clone(), source };
    fs::create_dir_all(&cloud.state_dir).map_err(failed)?;
    fs::write(&source, STALL).map_err(failed)?;
    run(Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl"))
        .await?;
    Ok(library)
}

/// What one server holds: each transaction of the application, and when it was committed.
pub type Rows = BTreeMap<String, Timestamp>;

pub struct Pair {
    pub primary: Server,
    pub standby: Server,
    data: PathBuf,
    made: PathBuf,
    database: String,
}

impl Pair {
    /// Makes the pair of this cloud, armed by the script of `understudy plan sql`, and leaves it stopped.
    pub async fn make(cloud: &Cloud, plan: &Plan) -> Result<Self, TortureError> {
        let library = stall_library(cloud).await?;
        let pair = Self {
            primary: Server::at(cloud, Place::Primary)?.preloading(library),
            standby: Server::at(cloud, Place::Standby)?,
            data: cloud.state_dir.join("pg"),
            made: cloud.state_dir.join("made"),
            database: plan.stores.first().map(|store| store.database.clone()).unwrap_or_default(),
        };
        up::start_databases(cloud, plan).await?;
        let session = pair.primary.superuser(&pair.database).await?;
        session.execute(FORMER, &[&FORMER_ROWS]).await?;
        session.batch_execute(&others()).await?;
        drop(session);
        // The standby first: the primary then has nobody to wait for.
        pair.standby.stop(Stop::Fast).await?;
        pair.primary.stop(Stop::Fast).await?;
        fs::rename(&pair.data, &pair.made)
            .map_err(|source| TortureError::File { path: pair.made.clone(), source })?;
        Ok(pair)
    }

    /// Keeps the primary's disk from flushing anything, for that long.
    pub async fn stall(&self, lasts: Duration) -> Result<(), TortureError> {
        let path = self.data.join(Place::Primary.name()).join(STALL_FILE);
        fs::write(&path, "").map_err(|source| TortureError::File { path: path.clone(), source })?;
        tokio::time::sleep(lasts).await;
        // Gone with its folder where the round is over.
        let _ = fs::remove_file(&path);
        Ok(())
    }

    /// A fresh pair, streaming.
    pub async fn begin(&self, prepares: bool) -> Result<(), TortureError> {
        let failed = |source| TortureError::File { path: self.data.clone(), source };
        if self.data.exists() {
            fs::remove_dir_all(&self.data).map_err(failed)?;
        }
        run(Command::new("cp").arg("-a").arg(&self.made).arg(&self.data)).await?;
        // A standby must take as many as its primary ever did.
        for (place, takes) in
            [(Place::Primary, if prepares { PREPARED } else { 0 }), (Place::Standby, PREPARED)]
        {
            // The last setting counts. Here a commit that waits for its disk is among what is tried.
            let path = self.data.join(place.name()).join("postgresql.auto.conf");
            let file = fs::File::options().append(true).open(&path);
            let settings = format!("max_prepared_transactions = {takes}\nfsync = on\n");
            file.and_then(|mut file| file.write_all(settings.as_bytes()))
                .map_err(|source| TortureError::File { path, source })?;
        }
        tokio::try_join!(self.primary.start(), self.standby.start())?;
        let streaming = async {
            loop {
                let session = self.standby.superuser(SUPERUSER).await?;
                let receiver = "select from pg_stat_wal_receiver where status = 'streaming'";
                if session.query_opt(receiver, &[]).await?.is_some() {
                    return Ok::<_, TortureError>(());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(STREAMS_WITHIN, streaming).await.map_err(|_| TortureError::NotStreaming)?
    }

    /// As when a machine loses its power.
    pub async fn end(&self) -> Result<(), TortureError> {
        tokio::try_join!(self.primary.stop(Stop::Immediate), self.standby.stop(Stop::Immediate))?;
        Ok(())
    }

    /// What `server` has committed, as it says itself. One that was killed is started again for it.
    pub async fn rows(&self, server: &Server) -> Result<Rows, TortureError> {
        if !server.is_running().await? {
            server.start().await?;
        }
        let session = server.superuser(&self.database).await?;
        let committed =
            "select tx, pg_xact_commit_timestamp(xmin) from public.documents where tx not like 'former-%'";
        let rows = session.query(committed, &[]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Whether the standby stands alone.
    pub async fn is_promoted(&self) -> Result<bool, TortureError> {
        let session = self.standby.superuser(SUPERUSER).await?;
        Ok(session.query_one("select not pg_is_in_recovery()", &[]).await?.try_get(0)?)
    }
}
