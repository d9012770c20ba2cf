//! The alarm handler: gather the votes, decide, and see to it that at most one execution runs.
//!
//! Every hint and every tick comes here and makes the same decision from the same stored votes. What it writes
//! is conditional; what it starts has a name that can be used once (L5).

use crate::approval::{self, Matter, open_question};
use crate::checks::Finding;
use crate::decide::{Decision, Question, decide, decide_asked, decide_close, decide_continue};
use crate::fault::Fault;
use crate::hint::{self, Hint};
use crate::incident::{Attempt, Grounds, Incident, close_incident, open_attempt_on};
use crate::journal::{Entry, Journal};
use crate::keepers::{self, Keeper, keepers};
use crate::lease::{KeeperView, Standing, Unset, claimed_by, standing, stopped_since, unarmed, unset};
use crate::paging::{self, Turn};
use crate::plan::Plan;
use crate::ports::{Cells, Clock, Executions, Page, Pager, Severity};
use crate::report::line;
use crate::returned::{self, Returned};
use crate::rival::rivals;
use crate::run::{Request, Run};
use crate::served::Served;
use crate::state::{Change, Flag, keys, load, look, note, raised, update, update_note};
use crate::steps::assess::{Readiness, Unfit, votes};
use crate::time::{Millis, elapsed};
use crate::votes::{Vote, Votes};
use crate::words::{count, instant};
use futures_util::future::join;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// An unchanged matter is paged again after this many ticks.
const REPAGE_TICKS: u64 = 15;
/// A standby is told of once so many looks in a row found it unfit, over so many ticks: a redeploy or a lost call is over by
/// then, and a tick may come twice.
const UNFIT_LOOKS: u32 = 3;
const UNFIT_TICKS: u64 = 2;
/// An execution that records nothing for so many ticks is told of: waits of its own are shorter, but for people.
const STANDS_TICKS: u64 = 10;
const A_DAY: Millis = Millis::from_secs(86_400);

/// What the handler works with.
pub struct Handler<'a, C, K, E, P> {
    pub plan: &'a Plan,
    pub plan_digest: &'a str,
    pub cells: &'a C,
    pub witness: Option<&'a C>,
    pub clock: &'a K,
    pub executions: &'a E,
    pub pager: &'a P,
    /// The function that this runs in: its name opens the journal.
    pub writer: &'static str,
}

/// The sources of hints whose last decisions are kept.
pub const TICK: &str = "tick";
pub const ALARM: &str = "alarm";
pub const PERSON: &str = "person";

/// A decision on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    pub at: Timestamp,
    pub hint: String,
    pub decision: Decision,
}

/// What one event led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handled {
    /// `None` when nothing in the event was a reason to look.
    pub decision: Option<Decision>,
    pub ignored: Vec<String>,
}

/// Answers one event. However many hints it holds, they are one look.
pub async fn answer<C: Cells, K: Clock, E: Executions, P: Pager>(
    handler: &Handler<'_, C, K, E, P>,
    event: &Value,
) -> Result<Handled, Fault> {
    let read = hint::read(event, &handler.plan.name)?;
    let decision = match read.hints.first() {
        Some(hint) => Some(handler.handle(hint).await?),
        None => None,
    };
    Ok(Handled { decision, ignored: read.ignored })
}

struct Seen {
    votes: Votes,
    keepers: Vec<KeeperView>,
    incident: Option<Incident>,
}

impl<C: Cells, K: Clock, E: Executions, P: Pager> Handler<'_, C, K, E, P> {
    /// What was read of a cell without which nothing is decided. One that does not read is told to people.
    async fn needed<T>(&self, read: Result<T, Fault>, now: Timestamp) -> Result<T, Fault> {
        if let Err(fault @ Fault::Bug(_)) = &read {
            let text = format!(
                "{}: THE STANDBY CANNOT DECIDE: {fault}. No failover starts and none goes on by itself until it reads. It \
                 was written by hand or by a newer version of this stack: deploy that again, or go by the runbook's \
                 section on it",
                self.plan.title
            );
            self.page(&text, "cannot-decide", None, now).await?;
        }
        read
    }

    /// Looks once and acts on what is seen.
    pub async fn handle(&self, hint: &Hint) -> Result<Decision, Fault> {
        let all = keepers(self.cells, self.witness);
        let (votes, views) = join(votes(&all, self.clock), keepers::look(&all, self.cells, self.clock)).await;
        let now = self.clock.now();
        let incident = self.needed(load::<Incident>(self.cells, &keys::incident()).await, now).await?;
        let hold = raised(self.cells, &keys::hold(), now).await?;
        // Words for people, and nothing that a decision hangs on.
        let readiness = look::<Readiness>(self.cells, &keys::readiness()).await.ok().flatten();
        let lease = standing(&views, &self.plan.lease, &self.plan.regions.standby, now);
        let blocking = readiness.as_ref().map(|readiness| readiness.blocking());
        let unarmed = unarmed(&views, &self.plan.lease, self.plan_digest);
        let question = Question {
            now,
            plan: self.plan,
            votes: &votes,
            lease: &lease,
            renewed_once: views.iter().any(|view| view.sighting.value().is_some()),
            unarmed: unarmed.as_deref(),
            stopped_since: stopped_since(&views),
            incident: incident.as_ref(),
            hold: hold.as_ref(),
            blocking: blocking.as_deref(),
        };
        let decision = match hint {
            Hint::Asked(request) => decide_asked(&question, request),
            Hint::Continue { by, why } => decide_continue(&question, by, why),
            Hint::Close { by, why } => decide_close(&question, by, why, claimed_by(&views)),
            Hint::Tick | Hint::Alarm { .. } => decide(&question),
        };
        self.record(&decision, hint, now).await?;
        self.tell_declared(hold.as_ref(), incident.as_ref(), now).await?;
        let rivals = match hint {
            Hint::Tick => self.tell_rivals(&all, &views, incident.as_ref(), now).await,
            Hint::Asked(_) | Hint::Continue { .. } | Hint::Close { .. } | Hint::Alarm { .. } => Ok(()),
        };
        let idle = incident.as_ref().and_then(Incident::running).is_none();
        let half_way = claimed_by(&views).and_then(|claimed| {
            let incident =
                incident.as_ref().filter(|incident| incident.is_open() && incident.knows(claimed))?;
            incident.stopped().map(|attempt| attempt.execution.clone())
        });
        let renewed = matches!(lease, Standing::Renewed { .. });
        let unset = unset(&views, self.plan.tick).filter(|_| renewed).cloned();
        let decision =
            self.act(decision, Seen { votes: votes.clone(), keepers: views, incident }, hint, now).await?;
        let away = |vote: &Vote| matches!(vote, Vote::Failing { .. } | Vote::Down { .. });
        let seen_well = !votes.judged(&self.plan.detection, now).iter().any(|(_, vote)| away(vote));
        let moved = matches!(lease, Standing::Moved { .. });
        let nothing = matches!(decision, Decision::Watch { .. }) && (seen_well || moved);
        // Behind the decision: a keeper that cannot be closed just now keeps nothing from being started.
        rivals?;
        // While an execution runs the old primary is its matter.
        if *hint == Hint::Tick && idle {
            returned::tell(self.plan, self.cells, self.pager, &lease, half_way.as_deref(), now).await?;
            if let Some(readiness) = readiness.filter(|_| !matches!(lease, Standing::Moved { .. })) {
                self.tell_unfit(&readiness, now).await?;
            }
            if let Some(unset) = unset {
                self.tell_unset(&unset, now).await?;
            }
            if nothing {
                self.tell_unserved(now).await?;
            }
        }
        Ok(decision)
    }

    /// Leaves the reason on record, apart by source: a tick a moment later must not hide what an alarm led to.
    async fn record(&self, decision: &Decision, hint: &Hint, now: Timestamp) -> Result<(), Fault> {
        let source = match hint {
            Hint::Tick => TICK,
            Hint::Alarm { .. } => ALARM,
            Hint::Asked(_) | Hint::Continue { .. } | Hint::Close { .. } => PERSON,
        };
        let decided = Decided { at: now, hint: hint.text(), decision: decision.clone() };
        note(self.cells, &keys::decision(source), &decided).await
    }

    /// What the decision came to: of two who start something at the same time one hears that the other's runs.
    async fn act(
        &self,
        decision: Decision,
        seen: Seen,
        hint: &Hint,
        now: Timestamp,
    ) -> Result<Decision, Fault> {
        match &decision {
            Decision::Watch { .. } | Decision::Declined { .. } => {}
            Decision::Over { incident } => {
                update::<Incident, _>(self.cells, &keys::incident(), |current| {
                    Ok(close_incident(current, incident, now))
                })
                .await?;
            }
            Decision::Closed { incident, .. } => {
                // Told first: it is the only record beside the item itself, and what is told twice has one `dedup`.
                let text = format!("{}: {decision}", self.plan.title);
                let dedup = format!("{incident}-closed");
                if !self.page(&text, &dedup, seen.incident.as_ref(), now).await? {
                    return Err(Fault::transient("another call is about to tell of it: ask once more"));
                }
                let closed = update::<Incident, _>(self.cells, &keys::incident(), |current| {
                    Ok(close_incident(current, incident, now))
                })
                .await?;
                // Somebody went on meanwhile.
                if let Some(running) = closed.as_deref().and_then(Incident::running) {
                    return Ok(Decision::Running { execution: running.execution.clone() });
                }
            }
            Decision::Page { reason, dedup } => {
                self.page(reason, dedup, seen.incident.as_ref(), now).await?;
            }
            Decision::Running { execution } => match &seen.incident {
                Some(incident) => {
                    self.ensure_started(incident, &seen, hint).await?;
                    self.tell_question(incident, execution, now).await?;
                    let asked = self.needed(open_question(self.cells, execution).await, now).await?;
                    // One that ran out is open to nobody any more.
                    let asked =
                        asked.map(|asked| asked.question).filter(|question| now <= question.expires_at);
                    match &asked {
                        Some(question) => self.tell_back(incident, execution, question, now).await?,
                        None => self.tell_standing(incident, execution, now).await?,
                    }
                }
                None => return Err(Fault::bug("an attempt runs, but no incident is on record")),
            },
            Decision::Start(start) => {
                let looked_at = seen.incident.as_ref().map(|incident| incident.id.as_str());
                let grounds = self.grounds(&seen, hint, now);
                let opened = update::<Incident, _>(self.cells, &keys::incident(), |current| {
                    Ok(open_attempt_on(current, looked_at, start, &grounds, now))
                })
                .await?;
                let opened = opened.ok_or_else(|| Fault::bug("the incident vanished while it was opened"))?;
                self.ensure_started(&opened, &seen, hint).await?;
                if let Some(other) = opened.running().filter(|running| running.asked != start.asked) {
                    return Ok(Decision::Running { execution: other.execution.clone() });
                }
            }
        }
        Ok(decision)
    }

    fn grounds(&self, seen: &Seen, hint: &Hint, now: Timestamp) -> Grounds {
        Grounds {
            hint: hint.text(),
            votes: seen.votes.judged(&self.plan.detection, now),
            keepers: seen.keepers.clone(),
        }
    }

    /// Brings the running attempt to its first step, wherever an earlier call was killed.
    async fn ensure_started(&self, incident: &Incident, seen: &Seen, hint: &Hint) -> Result<(), Fault> {
        let Some(attempt) = incident.running() else { return Ok(()) };
        let run = self.ensure_run(incident, attempt).await?;
        if run.started {
            return Ok(());
        }
        self.journal_acceptance(incident, attempt, seen, hint).await?;
        let execution = &attempt.execution;
        add_open_run(self.cells, execution).await?;
        if let Err(fault) = self.executions.start(execution, &incident.id).await {
            // One that may come later is told of if it has not by the next tick.
            let late = elapsed(run.accepted_at, self.clock.now()) >= self.plan.tick;
            if late || !matches!(fault, Fault::Transient(_)) {
                let text = format!(
                    "{}: `{execution}` cannot be started, and is tried again at every tick: {fault}. Nothing moves \
                     until then",
                    self.plan.title
                );
                let dedup = format!("{execution}-not-started");
                self.page(&text, &dedup, Some(incident), self.clock.now()).await?;
            }
            return Err(fault);
        }
        let why = match (&attempt.asked, &attempt.continues) {
            (None, _) => "the primary is down".to_owned(),
            (Some(request), None) => Hint::Asked(request.clone()).text(),
            (Some(Request { by, .. }), Some(stopped)) => format!("`{stopped}` goes on, asked for by {by}"),
        };
        let text = format!("{}: {why}; `{execution}` has started", self.plan.title);
        let told = self.page(&text, execution, Some(incident), self.clock.now()).await?;
        // Last: a call that was killed before is made up for by the next hint, also one that only claimed the page.
        if told {
            Run::change(self.cells, execution, |run| run.started = true).await?;
        }
        Ok(())
    }

    /// A question that stands, and whose page did not get out.
    async fn tell_question(&self, incident: &Incident, execution: &str, now: Timestamp) -> Result<(), Fault> {
        let long = Millis(self.plan.tick.0 / 2);
        let untold = approval::untold_question(self.cells, execution, long, now).await;
        let Some(question) = self.needed(untold, now).await? else { return Ok(()) };
        let page = approval::page(self.plan, &incident.id, &question);
        self.page(&page.text, &page.dedup, Some(incident), now).await.map(|_| ())
    }

    /// An execution that has recorded nothing for long, while nobody is asked: a step that is tried again and again.
    async fn tell_standing(&self, incident: &Incident, execution: &str, now: Timestamp) -> Result<(), Fault> {
        let last = self.journal(execution).last().await;
        let Some(last) = self.needed(last, now).await? else { return Ok(()) };
        let last = last.record()?;
        if elapsed(last.at, now) < self.plan.tick.times(STANDS_TICKS) {
            return Ok(());
        }
        let text = format!(
            "{}: `{execution}` has recorded nothing since {}; the last: {}. Its workflow's console shows the step that it \
             tries; `understudy status` shows the rest",
            self.plan.title,
            instant(last.at),
            line(&last).text
        );
        self.page(&text, &format!("{execution}-stands"), Some(incident), now).await.map(|_| ())
    }

    /// The primary is back while people are asked to accept that it is not known to be fenced: it is, and stays shut for that.
    async fn tell_back(
        &self,
        incident: &Incident,
        execution: &str,
        question: &approval::Question,
        now: Timestamp,
    ) -> Result<(), Fault> {
        // A note: one that does not read says nothing.
        let returned = look::<Returned>(self.cells, &keys::returned()).await.ok().flatten();
        let back =
            returned.filter(|there| there.epoch == question.epoch && there.is_there(now, self.plan.tick));
        if question.matter != Matter::Acceptance || back.is_none() {
            return Ok(());
        }
        let text = format!(
            "{}: THE PRIMARY IS BACK, and is kept shut while `{execution}` asks: `understudy refuse` gives it its lease back, and a \
             yes does not count while its guard is there",
            self.plan.title
        );
        self.page(&text, &format!("{execution}-back"), Some(incident), now).await.map(|_| ())
    }

    fn journal<'b>(&'b self, execution: &'b str) -> Journal<'b, C, K> {
        Journal {
            cells: self.cells,
            clock: self.clock,
            plan: &self.plan.name,
            plan_digest: self.plan_digest,
            execution,
            writer: self.writer,
        }
    }

    async fn ensure_run(&self, incident: &Incident, attempt: &Attempt) -> Result<Arc<Run>, Fault> {
        let run = update::<Run, _>(self.cells, &keys::run(&attempt.execution), |run| {
            Ok(if run.is_some() { Change::Keep } else { Change::Write(self.first_run(incident, attempt)) })
        })
        .await;
        let run = self.needed(run, self.clock.now()).await?;
        run.ok_or_else(|| Fault::bug("a run vanished while it was created"))
    }

    fn first_run(&self, incident: &Incident, attempt: &Attempt) -> Run {
        let first = Run::first(&attempt.execution, &incident.id, attempt.kind, attempt.opened_at);
        Run {
            attempt: attempt.number,
            plan_digest: self.plan_digest.to_owned(),
            asked: attempt.asked.clone(),
            continues: attempt.continues.clone(),
            ..first
        }
    }

    /// The first record. Written once even when two hints race: the second finds it there.
    async fn journal_acceptance(
        &self,
        incident: &Incident,
        attempt: &Attempt,
        seen: &Seen,
        hint: &Hint,
    ) -> Result<(), Fault> {
        let journal = self.journal(&attempt.execution);
        let grounds = attempt.grounds.clone();
        let grounds = grounds.unwrap_or_else(|| self.grounds(seen, hint, self.clock.now()));
        journal
            .append_first(Entry::Accepted {
                incident: incident.id.clone(),
                attempt: attempt.number,
                kind: attempt.kind,
                asked: attempt.asked.is_some(),
                continues: attempt.continues.clone(),
                accepted_at: attempt.opened_at,
                hint: grounds.hint,
                onset: incident.onset,
                votes: grounds.votes,
                keepers: grounds.keepers,
            })
            .await
    }

    /// Tells people once that something is declared which never promotes, and the road, before the primary dies of it.
    async fn tell_declared(
        &self,
        hold: Option<&Flag>,
        incident: Option<&Incident>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let Some((flag, category)) = hold.and_then(|flag| Some((flag, flag.category?))) else {
            return Ok(());
        };
        let text = format!("{}: {}. {}", self.plan.title, flag.told(), category.road());
        let dedup = format!("{}-{}", category.name(), flag.at);
        self.page_again(&text, &dedup, incident, now, None).await.map(|_| ())
    }

    /// Tells people that the standby could not take over now, before the primary dies of it: once a day for what is found,
    /// and not for what the next look finds well again.
    async fn tell_unfit(&self, readiness: &Readiness, now: Timestamp) -> Result<(), Fault> {
        let long = self.plan.tick.times(UNFIT_TICKS);
        let lasts = |unfit: &Unfit| unfit.looks >= UNFIT_LOOKS && elapsed(unfit.since, readiness.at) >= long;
        let Some(unfit) = readiness.unfit.filter(lasts) else { return Ok(()) };
        let blocking: Vec<&Finding> = readiness.findings.iter().filter(|finding| finding.blocks()).collect();
        let Some(first) = blocking.first() else { return Ok(()) };
        let more = match blocking.len() {
            1 => String::new(),
            n => format!(
                " And {} more: `understudy status` names them.",
                count(n.saturating_sub(1), "finding")
            ),
        };
        let text = format!(
            "{}: THE STANDBY COULD NOT TAKE OVER, since {}: {} {}: {}. {}.{more}",
            self.plan.title,
            instant(unfit.since),
            first.id,
            first.subject,
            first.evidence,
            first.fix
        );
        let dedup = format!("unfit-{}", readiness.blocking().join("-"));
        self.page_again(&text, &dedup, None, now, Some(A_DAY)).await.map(|_| ())
    }

    /// Clients who do not reach who serves, while nothing else is wrong that anybody is told of.
    async fn tell_unserved(&self, now: Timestamp) -> Result<(), Fault> {
        // A look that does not read is made anew by the next tick of the prober.
        let served = look::<Served>(self.cells, &keys::served()).await.ok().flatten();
        let Some(bad) = served.as_ref().and_then(|served| served.lost(self.plan, now)) else { return Ok(()) };
        let text = format!(
            "{}: CLIENTS ARE NOT SERVED by the public name, since {}: {}. Nothing moves by itself for it. See whether the side \
             that serves is well (`understudy status`), whether `understudy plan check --live` finds the names as they must \
             be, and whether somebody else publishes `Understudy/Switch`",
            self.plan.title,
            instant(bad.since),
            bad.detail
        );
        self.page(&text, &format!("unserved-{}", bad.since), None, now).await.map(|_| ())
    }

    /// A primary whose lease the keepers renew and its database does not get looks alive, and takes no write.
    async fn tell_unset(&self, unset: &Unset, now: Timestamp) -> Result<(), Fault> {
        let writers = match unset.ends {
            Some(ends) => format!("lets no writer in from {} on", instant(ends)),
            None => "goes by an older one".to_owned(),
        };
        let text = format!(
            "{}: THE PRIMARY'S DATABASE DOES NOT GET ITS LEASE. Keepers take its renewals, but what is renewed has not \
             reached `{}` since {}, and it {writers}. Its guard's log names the reason; the script of `understudy plan sql` \
             mends rights. If clients fail: `understudy switchover`. Where that cannot fence either, switch off the schedule \
             of `primary-guard`; once its lease ran out `understudy failover` may be asked for",
            self.plan.title,
            unset.store,
            instant(unset.since)
        );
        self.page(&text, &format!("unset-{}", unset.store), None, now).await.map(|_| ())
    }

    /// An old primary that goes on renewing where nobody closed the lease is told while it does, also during an attempt.
    async fn tell_rivals(
        &self,
        keepers: &[Keeper<'_, C>],
        views: &[KeeperView],
        incident: Option<&Incident>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        for rival in rivals(self.plan, views) {
            // The page first: it does not hang on whether that keeper can be written.
            if let Some(text) = rival.told(self.plan, now) {
                let dedup = format!("two-writers-{}", rival.newest.epoch);
                self.page(&text, &dedup, incident, now).await?;
            }
            rival.close(keepers).await?;
        }
        Ok(())
    }

    /// Pages once for each matter, and again only after a while; false while somebody else is about to, who may have been
    /// killed.
    pub(crate) async fn page(
        &self,
        text: &str,
        dedup: &str,
        incident: Option<&Incident>,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        let again = self.plan.tick.times(REPAGE_TICKS);
        self.page_again(text, dedup, incident, now, Some(again)).await
    }

    async fn page_again(
        &self,
        text: &str,
        dedup: &str,
        incident: Option<&Incident>,
        now: Timestamp,
        again: Option<Millis>,
    ) -> Result<bool, Fault> {
        match paging::claim(self.cells, dedup, now, self.plan.tick, again).await? {
            Turn::Mine => {}
            Turn::Told => return Ok(true),
            Turn::Others => return Ok(false),
        }
        let page = Page {
            severity: Severity::Critical,
            plan: self.plan.name.clone(),
            incident: incident.map(|incident| incident.id.clone()),
            text: text.to_owned(),
            dedup: dedup.to_owned(),
        };
        self.pager.page(&page).await?;
        paging::told(self.cells, dedup, now).await?;
        Ok(true)
    }
}

/// The executions that have no sealed end yet, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRuns {
    pub executions: Vec<String>,
}

async fn add_open_run(cells: &impl Cells, execution: &str) -> Result<(), Fault> {
    update_note::<OpenRuns, _>(cells, &keys::open_runs(), |open| {
        let mut next = open.cloned().unwrap_or_default();
        if next.executions.iter().any(|known| known == execution) {
            return Ok(Change::Keep);
        }
        next.executions.push(execution.to_owned());
        Ok(Change::Write(next))
    })
    .await
    .map(|_| ())
}
