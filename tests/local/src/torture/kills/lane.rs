//! One local cloud: made once, made as it was before every run, and judged after it.

use super::watch::{EMULATOR, Watch, end, workers};
use super::{Left, Run};
use crate::aws::Aws;
use crate::breaks;
use crate::compare::line;
use crate::config::Place;
use crate::logs;
use crate::postgres::{Server, Stop};
use crate::processes::Processes;
use crate::python::run as run_command;
use crate::ready;
use crate::torture::TortureError;
use crate::torture::judge::{self, Judgement, Written};
use crate::up::{self, Options, Up};
use jiff::Timestamp;
use rustix::process::Signal;
use std::fs;
use std::process::Command;
use std::time::Instant;
use understudy_core::journal::Stored;
use understudy_core::run::End;
use understudy_core::state::{Flag, keys, set_flag};
use understudy_core::steps::close::{record_key, report_key};

/// One local cloud.
pub(super) struct Lane {
    options: Options,
    up: Up,
}

impl Lane {
    pub(super) async fn make(options: Options) -> Result<Self, TortureError> {
        let up = up::up(&options).await?;
        let lane = Self { options, up };
        lane.keep_servers().await?;
        Ok(lane)
    }

    pub(super) async fn down(&self) -> Result<(), TortureError> {
        Ok(up::down(&self.options).await?)
    }

    /// Servers, network and state as after `up`, and ready.
    pub(super) async fn reset(&self) -> Result<(), TortureError> {
        let processes = self.processes();
        // What was seen before the reset must start nothing after it.
        self.hold(true).await?;
        self.stop_servers(&processes).await?;
        // While no server answers: a guard that read the old lease must find nobody whom it could fence.
        for place in [Place::Standby, Place::Witness] {
            let aws = Aws::at(&self.up.cloud, place).await;
            aws.clear_table(&self.up.plan.name, &keys::hold()).await.map_err(up::UpError::from)?;
        }
        // Nothing may be called meanwhile, and what was under way is over.
        processes.signal(EMULATOR, Signal::STOP).map_err(up::UpError::from)?;
        for (pid, _) in workers(&processes) {
            end(pid);
        }
        let made = self.restore(&processes).await;
        processes.signal(EMULATOR, Signal::CONT).map_err(up::UpError::from)?;
        made?;
        // Whoever looked at something older has ended by then.
        tokio::time::sleep(self.up.plan.tick.as_std() * 2).await;
        self.hold(false).await?;
        Ok(ready::wait(&self.up.cloud, &self.up.plan).await.map_err(up::UpError::from)?)
    }

    async fn stop_servers(&self, processes: &Processes) -> Result<(), TortureError> {
        for place in [Place::Standby, Place::Primary] {
            Server::at(&self.up.cloud, place)?.stop(Stop::Immediate).await?;
            processes.end(&up::web_name(place)).map_err(up::UpError::from)?;
        }
        processes.end("network").map_err(up::UpError::from)?;
        Ok(())
    }

    async fn hold(&self, raised: bool) -> Result<(), TortureError> {
        let table = Aws::at(&self.up.cloud, Place::Standby).await.table(&self.up.plan.name);
        let flag = Flag {
            raised,
            by: "torture".to_owned(),
            why: "between two runs".to_owned(),
            at: Timestamp::now(),
            category: None,
            also: Vec::new(),
        };
        set_flag(&table, &keys::hold(), &flag).await?;
        Ok(())
    }

    async fn restore(&self, processes: &Processes) -> Result<(), TortureError> {
        let (cloud, options) = (&self.up.cloud, &self.options);
        let (data, made) = (cloud.state_dir.join("pg"), cloud.state_dir.join("made"));
        fs::remove_dir_all(&data).map_err(|source| TortureError::File { path: data.clone(), source })?;
        run_command(Command::new("cp").arg("-a").arg(&made).arg(&data)).await?;
        self.start_servers().await?;
        up::start_network(options, cloud, processes).await?;
        for place in [Place::Standby, Place::Primary] {
            up::start_web_at(options, cloud, &self.up.plan, processes, place)?;
        }
        Ok(())
    }

    async fn start_servers(&self) -> Result<(), TortureError> {
        let cloud = &self.up.cloud;
        let (primary, standby) = (Server::at(cloud, Place::Primary)?, Server::at(cloud, Place::Standby)?);
        tokio::try_join!(primary.start(), standby.start())?;
        Ok(())
    }

    /// A copy of both servers, stopped in order, for every reset.
    async fn keep_servers(&self) -> Result<(), TortureError> {
        let cloud = &self.up.cloud;
        for place in [Place::Standby, Place::Primary] {
            Server::at(cloud, place)?.stop(Stop::Fast).await?;
        }
        let (data, made) = (cloud.state_dir.join("pg"), cloud.state_dir.join("made"));
        run_command(Command::new("cp").arg("-a").arg(&data).arg(&made)).await?;
        self.start_servers().await
    }

    fn processes(&self) -> Processes {
        Processes::of(&self.up.cloud.state_dir)
    }

    pub(super) async fn play(&self, run: &Run) -> Result<Left, TortureError> {
        let (cloud, plan) = (&self.up.cloud, &self.up.plan);
        let broken_at = Timestamp::now();
        breaks::apply(run.harm, cloud, plan).await.map_err(TortureError::Break)?;
        let table = Aws::at(cloud, Place::Standby).await.table(&plan.name);
        let mut watch = Watch::of(&table, &run.kills);
        watch.until_sealed(&self.processes(), plan, Instant::now()).await?;
        let (chains, killed) = (watch.chains, watch.killed);
        let mut written = Vec::new();
        for (name, chain) in chains {
            written.push(self.written(name, chain).await);
        }
        let statuses = logs::calls(cloud, "PromoteReadReplica", broken_at);
        let promotions = statuses.iter().filter(|status| **status == Some(200)).count();
        let judged = self.judge(&written, promotions).await?;
        Ok(Left { written, judged, killed, promotions })
    }

    async fn written(&self, name: String, chain: Vec<Stored>) -> Written {
        let aws = Aws::at(&self.up.cloud, Place::Standby).await;
        let plan = &self.up.plan.name;
        let sealed = aws.object(&aws.evidence_bucket(plan), &report_key(plan, &name)).await;
        let report = sealed.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Written { name, chain, report }
    }

    async fn judge(&self, written: &[Written], promotions: usize) -> Result<Judgement, TortureError> {
        let mut judged = Judgement::default();
        for one in written {
            judge::journal(&self.up.plan, one, &mut judged);
            self.sealed(one, &mut judged).await;
        }
        let ended = judged.ends.len() == written.len() && !judged.ends.is_empty();
        judged.lines.push(line(
            ended,
            "every execution has an end, and there is one",
            format!("{:?}", judged.ends),
        ));
        let standby = Server::at(&self.up.cloud, Place::Standby)?;
        let alone = !standby.is_standby();
        let recovered = judged.ends.contains(&End::Recovered);
        let fits = promotions <= 1 && alone == (promotions == 1) && (!recovered || alone);
        let told = format!("{promotions} taken on, stands alone: {alone}");
        judged.lines.push(line(fits, "RDS took on one promotion at most, and a recovery has one", told));
        Ok(judged)
    }

    /// Each record lies in the bucket, byte by byte.
    async fn sealed(&self, written: &Written, judged: &mut Judgement) {
        let aws = Aws::at(&self.up.cloud, Place::Standby).await;
        let plan = &self.up.plan.name;
        let bucket = aws.evidence_bucket(plan);
        let mut lost = Vec::new();
        for (seq, stored) in (1..).zip(&written.chain) {
            let object = aws.object(&bucket, &record_key(plan, &written.name, seq)).await;
            if !object.is_ok_and(|bytes| bytes == stored.bytes().as_bytes()) {
                lost.push(seq.to_string());
            }
        }
        let told = format!("{} records, not there: {}", written.chain.len(), lost.join(", "));
        judged.lines.push(line(lost.is_empty(), "every record of the table is sealed in the bucket", told));
    }
}
