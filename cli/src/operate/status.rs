//! What the operator sees at 3 am, on one screen: what is wrong, what runs, what to do next.

use super::{Deployed, unavailable};
use crate::exit::Failure;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;
use understudy_aws::scaffold::WallClock;
use understudy_core::approval::{Asked, open_question};
use understudy_core::checks::Finding;
use understudy_core::decide::Decision;
use understudy_core::handler::{Decided, TICK};
use understudy_core::incident::{Attempt, Incident};
use understudy_core::journal::Journal;
use understudy_core::keepers::{STANDBY, WITNESS};
use understudy_core::lease::{KeeperView, Lease, Sighting, standing};
use understudy_core::observed::Observed;
use understudy_core::outlook::{Outlook, outlook};
use understudy_core::overrides::{Override, Overrides};
use understudy_core::report::line;
use understudy_core::returned::{Returned, State};
use understudy_core::state::{Flag, keys, load, look, raised};
use understudy_core::steps::assess::Readiness;
use understudy_core::switch::{Desired, Side};
use understudy_core::time::{Millis, elapsed};
use understudy_core::votes::{History, Observer, Votes};
use understudy_core::words::{instant, span};

#[derive(Debug, Serialize)]
pub struct Status {
    plan: String,
    at: Timestamp,
    hold: Option<Flag>,
    overrides: Vec<Given>,
    serves: Option<Side>,
    lease: Vec<(String, Option<Sighting>)>,
    /// An outage that is not accepted yet.
    outlook: Option<Outlook>,
    decision: Option<Decided>,
    readiness: Option<Readiness>,
    incident: Option<Incident>,
    last: Option<String>,
    question: Option<Asked>,
    /// What the guard of the old primary found there, while another Region writes.
    returned: Option<Returned>,
}

/// An override, and why it counts for nothing now, where it does not.
#[derive(Debug, Serialize)]
struct Given {
    #[serde(flatten)]
    given: Override,
    void: Option<String>,
}

/// Those that were given, also such as ended: somebody may think that they still count.
async fn given(deployed: &Deployed) -> Result<Vec<Given>, Failure> {
    let given = load::<Overrides>(&deployed.table, &keys::overrides()).await;
    let given = given.map_err(|fault| unavailable(&fault))?.unwrap_or_default().given;
    let now = Timestamp::now();
    let told = |given: Override| Given { void: given.void(&deployed.plan, now), given };
    Ok(given.into_iter().map(told).collect())
}

pub async fn gather(deployed: &Deployed) -> Result<Status, Failure> {
    let table = &deployed.table;
    let failed = |fault| unavailable(&fault);
    let incident = load::<Incident>(table, &keys::incident()).await.map_err(failed)?;
    let newest = incident
        .as_ref()
        .and_then(|incident| incident.attempts.last())
        .map(|attempt| attempt.execution.clone());
    let mut lease = Vec::new();
    for keeper in [STANDBY, WITNESS] {
        let sighting = load::<Sighting>(table, &keys::sighting(keeper)).await.map_err(failed)?;
        lease.push((keeper.to_owned(), sighting));
    }
    let (mut last, mut question) = (None, None);
    if let Some(execution) = &newest {
        last = last_line(deployed, execution).await?;
        question = open_question(table, execution).await.map_err(failed)?;
    }
    let returned = load::<Returned>(table, &keys::returned()).await.map_err(failed)?;
    let newest = lease.iter().filter_map(|(_, seen)| seen.as_ref().map(|seen| seen.lease.epoch)).max();
    let outlook =
        outlook_of(deployed, &lease).await.filter(|_| !incident.as_ref().is_some_and(Incident::is_open));
    Ok(Status {
        plan: deployed.plan.name.clone(),
        at: Timestamp::now(),
        hold: raised(table, &keys::hold(), Timestamp::now()).await.map_err(failed)?,
        overrides: given(deployed).await?,
        serves: load::<Desired>(table, &keys::switch()).await.map_err(failed)?.map(|desired| desired.serves),
        lease,
        outlook,
        decision: load::<Decided>(table, &keys::decision(TICK)).await.map_err(failed)?,
        readiness: load::<Readiness>(table, &keys::readiness()).await.map_err(failed)?,
        incident,
        last,
        question,
        returned: returned.filter(|returned| Some(returned.epoch) == newest),
    })
}

/// What the votes that lie in the standby come to; the witness's own lie in its Region. One that does not read says
/// nothing here.
async fn outlook_of(deployed: &Deployed, lease: &[(String, Option<Sighting>)]) -> Option<Outlook> {
    let (plan, now) = (&deployed.plan, Timestamp::now());
    let mut histories = Vec::new();
    for observer in [Observer::Standby, Observer::Route53] {
        let read = look::<History>(&deployed.table, &keys::votes(observer.name())).await;
        let history = match read {
            Ok(Some(history)) => Observed::known(history, "state table", now),
            Ok(None) => Observed::unknown("it has not voted yet"),
            Err(fault) => Observed::unknown(fault.to_string()),
        };
        histories.push((observer, history));
    }
    let votes = Votes { histories }.judged(&plan.detection, now);
    let views = lease.iter().filter_map(|(keeper, seen)| {
        Some(KeeperView {
            keeper: keeper.clone(),
            sighting: Observed::known(seen.clone()?, "state table", now),
        })
    });
    let standing = standing(&views.collect::<Vec<_>>(), &plan.lease, &plan.regions.standby, now);
    outlook(plan, &votes, &standing)
}

async fn last_line(deployed: &Deployed, execution: &str) -> Result<Option<String>, Failure> {
    let journal = Journal {
        cells: &deployed.table,
        clock: &WallClock,
        plan: &deployed.plan.name,
        plan_digest: "",
        execution,
        writer: "cli",
    };
    let records = journal.records().await.map_err(|fault| unavailable(&fault))?;
    Ok(records.last().map(|record| format!("{} {}", record.at, line(record).text)))
}

impl Status {
    pub fn json(&self) -> String {
        // A structure whose keys are all strings always serialises.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn ago(&self, at: Timestamp) -> String {
        span(Millis(elapsed(at, self.at).0 / 1000 * 1000))
    }

    /// Why readiness says nothing just now: it asks whether the standby could take over.
    fn no_readiness(&self) -> Option<&'static str> {
        if self.incident.as_ref().and_then(Incident::running).is_some() {
            return Some("not asked while an execution runs");
        }
        let follows = |returned: &Returned| returned.stores.iter().all(|found| found.state == State::Follows);
        match self.serves {
            Some(Side::Standby) if self.returned.as_ref().is_some_and(follows) => {
                Some("the standby serves; the old primary follows it")
            }
            Some(Side::Standby) => Some("the standby serves; no replica protects it"),
            _ => None,
        }
    }

    fn blocking(&self) -> Vec<&Finding> {
        self.readiness
            .iter()
            .filter(|_| self.no_readiness().is_none())
            .flat_map(|readiness| &readiness.findings)
            .filter(|finding| finding.blocks())
            .collect()
    }

    fn next(&self) -> String {
        if let Some(asked) = &self.question {
            let question = &asked.question;
            let verb = if question.matter == understudy_core::approval::Matter::Approval {
                "approve"
            } else {
                "accept"
            };
            return format!(
                "answer before {}: `understudy {verb} PLAN {} --by ROLE --digest {}`; silence is a no",
                question.expires_at,
                question.execution,
                asked.digest()
            );
        }
        if let Some(category) = self.hold.as_ref().and_then(|flag| flag.category) {
            return category.road().to_owned();
        }
        if let Some(flag) = &self.hold {
            return format!(
                "lift the hold of `{}` when it is over: `understudy resume PLAN --by ROLE`",
                flag.by
            );
        }
        if let Some(outlook) = &self.outlook {
            let what = if outlook.asks { "people are asked" } else { "a failover starts by itself" };
            return format!("wait, do nothing: if this lasts, {what} by {}", instant(outlook.by));
        }
        match self.incident.as_ref().filter(|incident| incident.is_open()) {
            Some(incident) if incident.running().is_some() => "wait: an attempt runs".to_owned(),
            Some(incident) => after(incident).to_owned(),
            None if self.serves == Some(Side::Standby) => self.way_back(),
            None if !self.blocking().is_empty() => "mend what blocks the standby".to_owned(),
            None => match self.decision.as_ref().map(|decided| &decided.decision) {
                Some(Decision::Page { .. }) => {
                    "look at what people were told: the line `decision`".to_owned()
                }
                _ => "nothing".to_owned(),
            },
        }
    }
}

/// That a database is behind what the keepers renew, where it is.
fn unset(lease: &Lease) -> String {
    let unset = lease.enforced.iter().flat_map(|enforced| &enforced.unset);
    let told = unset.map(|unset| format!(", NOT SET in `{}` since {}", unset.store, instant(unset.since)));
    told.collect::<Vec<_>>().concat()
}

/// What people do about an open incident in which nothing runs.
fn after(incident: &Incident) -> &'static str {
    if incident.stopped().is_some() {
        return "mend what the last line names, then `understudy continue PLAN --by ROLE --why …` goes on from there: \
                forward if a promotion was asked for, else back. Read infra/runbooks/needs-operator.md first";
    }
    let refused_by = incident.attempts.last().and_then(Attempt::refused_by);
    if refused_by.is_some_and(|checks| !checks.is_empty()) {
        return "mend what the last attempt named; the next one starts by itself when it is gone";
    }
    "no attempt starts by itself any more: read infra/runbooks/needs-operator.md. While the primary is lost, `understudy \
     failover PLAN --by ROLE --why …` asks for one"
}

impl Status {
    /// The standby serves, and nothing protects it until the old primary follows.
    fn way_back(&self) -> String {
        let follows = |returned: &Returned| returned.stores.iter().all(|found| found.state == State::Follows);
        if self.returned.as_ref().is_some_and(follows) {
            return "go back when it suits: `understudy failback PLAN --by ROLE --why …`".to_owned();
        }
        "build the old primary anew as a replica of the standby, for nothing protects it until then; then \
         `understudy failback`"
            .to_owned()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan {}, {}", self.plan, self.at)?;
        let serves = self.serves.map_or("unknown", Side::name);
        writeln!(f, "  serves     {serves}")?;
        if let Some(outlook) = &self.outlook {
            let names: Vec<&str> = outlook.observers.iter().map(|observer| observer.name()).collect();
            let renewed = outlook.last_renewal.map(|at| format!(". Last renewal {} ago", self.ago(at)));
            writeln!(
                f,
                "  PRIMARY    NOT ANSWERING for {}, as seen by {}{}",
                self.ago(outlook.since),
                names.join(", "),
                renewed.unwrap_or_default()
            )?;
        }
        for (keeper, sighting) in &self.lease {
            match sighting {
                Some(seen) => writeln!(
                    f,
                    "  lease      {keeper}: epoch {} of {}, renewal {} first seen {} ago{}{}",
                    seen.lease.epoch,
                    seen.lease.holder.0,
                    seen.lease.counter,
                    self.ago(seen.first_seen_at),
                    if seen.lease.armed { ", armed" } else { "" },
                    unset(&seen.lease)
                )?,
                None => writeln!(f, "  lease      {keeper}: never seen")?,
            }
        }
        if let Some(decided) = &self.decision {
            writeln!(f, "  decision   {} ago: {}", self.ago(decided.at), decided.decision)?;
        }
        match (&self.readiness, self.no_readiness()) {
            (_, Some(why)) => writeln!(f, "  readiness  {why}")?,
            (Some(readiness), None) => {
                writeln!(f, "  readiness  {} ago: {}", self.ago(readiness.at), readiness.verdict.words())?;
            }
            (None, None) => writeln!(f, "  readiness  never assessed")?,
        }
        for finding in self.blocking() {
            writeln!(
                f,
                "             {} {}: {}. {}",
                finding.id, finding.subject, finding.evidence, finding.fix
            )?;
        }
        for one in &self.overrides {
            let what = one.given.check.replace(':', " ");
            let told = match &one.void {
                None => format!("OVERRIDE   {what} {}", one.given.told()),
                Some(void) => format!("override   {what} by `{}` does not count: {void}", one.given.by),
            };
            writeln!(f, "  {told}")?;
        }
        if let Some(flag) = &self.hold {
            let category =
                flag.category.map_or_else(String::new, |category| format!("{}, ", category.name()));
            writeln!(f, "  HOLD       {category}by {} since {}: {}", flag.by, flag.at, flag.why)?;
        }
        if let Some(incident) = &self.incident {
            let began = match incident.onset {
                Some(onset) => format!("began {} at the latest", onset.first_bad),
                None => "planned".to_owned(),
            };
            writeln!(f, "  incident   {}, {began}", incident.id)?;
            for attempt in &incident.attempts {
                let kind = attempt.kind.name();
                writeln!(f, "             {} ({kind}): {}", attempt.execution, attempt.end_text())?;
            }
        }
        if let Some(returned) = &self.returned {
            for found in &returned.stores {
                writeln!(f, "  old side   {}: {} ({})", found.store, found.state, instant(returned.at))?;
            }
        }
        if let Some(last) = &self.last {
            writeln!(f, "             {last}")?;
        }
        if let Some(Asked { question, .. }) = &self.question {
            writeln!(f, "  ASKED      {}: {}", question.matter.name(), question.shown)?;
        }
        writeln!(f, "  next       {}", self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use understudy_core::incident::Ended;
    use understudy_core::run::{End, Kind};

    fn incident(end: End, blocking: &[&str]) -> Incident {
        let at = Timestamp::UNIX_EPOCH;
        let blocking = blocking.iter().map(|id| (*id).to_owned()).collect();
        let attempt = Attempt {
            grounds: None,
            continues: None,
            number: 1,
            execution: "i-1-a1".to_owned(),
            kind: Kind::Failover,
            asked: None,
            opened_at: at,
            ended: Some(Ended { took_nothing: false, at, end, blocking }),
        };
        Incident {
            id: "i-1".to_owned(),
            onset: None,
            opened_at: at,
            attempts: vec![attempt],
            closed_at: None,
        }
    }

    /// Only a refusal by checks leads to another attempt; nobody must wait for one after anything else.
    #[test]
    fn an_operator_is_told_to_wait_only_for_what_comes() {
        assert!(after(&incident(End::Refused, &["PF-04"])).contains("starts by itself when it is gone"));
        for end in [End::Refused, End::RolledBack] {
            let told = after(&incident(end, &[]));
            assert!(
                told.contains("no attempt starts by itself") && told.contains("understudy failover"),
                "{told}"
            );
        }
        for end in [End::NeedsOperator, End::Unfinished] {
            assert!(after(&incident(end, &[])).contains("understudy continue"));
        }
    }

    fn status(outlook: Option<Outlook>, serves: Side) -> Status {
        let at = Timestamp::constant(1_800_000_000, 0);
        Status {
            plan: "orders".to_owned(),
            at,
            hold: None,
            overrides: Vec::new(),
            serves: Some(serves),
            lease: vec![("standby".to_owned(), None)],
            outlook,
            decision: None,
            readiness: None,
            incident: None,
            last: None,
            question: None,
            returned: None,
        }
    }

    /// What is read first at night: that the primary does not answer, since when, and that nobody need do anything yet.
    #[test]
    fn an_outage_in_the_making_says_what_comes() {
        let ago = |seconds| {
            understudy_core::time::before(Timestamp::constant(1_800_000_000, 0), Millis::from_secs(seconds))
        };
        let outlook = Outlook {
            since: ago(130),
            observers: vec![Observer::Standby, Observer::Route53],
            last_renewal: Some(ago(160)),
            by: understudy_core::time::after(ago(0), Millis::from_secs(200)),
            asks: false,
        };
        let told = status(Some(outlook.clone()), Side::Primary).to_string();
        assert!(told.contains("PRIMARY    NOT ANSWERING for 2 min 10 s, as seen by standby, route53. Last renewal 2 min 40 s ago"), "{told}");
        assert!(told.contains("next       wait, do nothing: if this lasts, a failover starts by itself by 2027-01-15T08:03:20.000Z"), "{told}");
        let asked = status(Some(Outlook { asks: true, ..outlook }), Side::Primary).to_string();
        assert!(asked.contains("people are asked by"), "{asked}");
    }

    #[test]
    fn readiness_is_no_alarm_where_nobody_asks_it() {
        let told = status(None, Side::Standby).to_string();
        assert!(told.contains("readiness  the standby serves; no replica protects it"), "{told}");
        assert!(status(None, Side::Primary).to_string().contains("readiness  never assessed"));
    }
}
