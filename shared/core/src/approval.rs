//! Questions to people: what is asked, to what an answer is bound, and who may give it.
//!
//! An answer names the digest of the question that was shown; a question that changed meanwhile is not the one
//! that was answered. Silence is a no (L8). The workflow's token never leaves the state table.

use crate::call;
use crate::fault::Fault;
use crate::journal::{Entry, sha256_hex};
use crate::overrides::Override;
use crate::plan::Plan;
use crate::ports::{Cells, Clock, Page, Pager, Severity, Tokens};
use crate::run::Run;
use crate::state::{Change, keys, load, look, update};
use crate::steps::{Context, Outcome, Reply, Step, not_mine};
use crate::time::{Millis, after, elapsed};
use crate::words::{instant, same_name};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// What a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matter {
    /// May the standby take over?
    Approval,
    /// Is the stated risk of an unproved fence taken?
    Acceptance,
}

impl Matter {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approval => "an approval",
            Self::Acceptance => "an acceptance of the risk",
        }
    }
}

/// A question, whole: an answer is bound to its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub plan: String,
    pub execution: String,
    pub matter: Matter,
    /// The epoch that a yes lets the execution claim.
    pub epoch: u64,
    /// What is known of the situation, in one line.
    pub shown: String,
    /// What may be lost at most as far as is known, in milliseconds; `None` where it is not known.
    pub loss_ms: Option<u64>,
    /// The checks that people override, and who: a yes counts for these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// Who asked for the execution, and therefore may not say yes to it.
    pub started_by: Option<String>,
    /// How many different people must say yes. One no is a no.
    #[serde(default = "one")]
    pub approvals: u32,
    pub asked_at: Timestamp,
    pub expires_at: Timestamp,
}

/// Of a question that was asked before plans could ask for more.
fn one() -> u32 {
    1
}

impl Question {
    pub fn digest(&self) -> String {
        // A structure whose keys are all strings always serialises.
        sha256_hex(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// A person's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub execution: String,
    pub yes: bool,
    /// A role or a name from the plan's roster.
    pub by: String,
    /// The digest of the question that was shown.
    pub digest: String,
}

/// A question with the workflow's token and the answers so far, one a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub question: Question,
    /// Of the question as it was asked: a later version of this code may make another of it.
    #[serde(default)]
    digest: String,
    token: String,
    answers: Vec<Answer>,
    /// The tokens of the questions that this one took the place of.
    #[serde(default)]
    former: Vec<String>,
    /// People were told of it. Whoever finds an open question that they were not told of tells them.
    #[serde(default)]
    told: bool,
}

impl Asked {
    /// What an answer is bound to.
    pub fn digest(&self) -> String {
        if self.digest.is_empty() { self.question.digest() } else { self.digest.clone() }
    }

    fn entry(&self) -> Entry {
        Entry::Asked { question: self.question.clone(), digest: self.digest() }
    }

    /// Whether `other` comes too late: it stands here, it stood here before, or it was made before this one, which is
    /// still open.
    fn is_newer_than(&self, other: &Self) -> bool {
        self.token == other.token
            || self.former.contains(&other.token)
            || (self.settled().is_none() && self.question.asked_at > other.question.asked_at)
    }

    fn in_place_of(self, old: &Self) -> Self {
        let former = old.former.iter().chain([&old.token]).cloned().collect();
        Self { former, ..self }
    }

    /// What the answers come to, once they come to anything: one no, or as many yeses as were asked for.
    #[must_use]
    pub fn settled(&self) -> Option<bool> {
        let yeses = self.answers.iter().filter(|answer| answer.yes).count();
        if yeses < self.answers.len() {
            return Some(false);
        }
        (yeses >= usize::try_from(self.question.approvals).unwrap_or(usize::MAX)).then_some(true)
    }

    /// Who said yes, where that settled it.
    #[must_use]
    pub fn approved_by(&self) -> Option<String> {
        let names: Vec<&str> = self.answers.iter().map(|answer| answer.by.as_str()).collect();
        (self.settled() == Some(true)).then(|| names.join(" and "))
    }
}

/// The question of an execution that is still open, if any.
pub async fn open_question(cells: &impl Cells, execution: &str) -> Result<Option<Asked>, Fault> {
    let asked = load::<Asked>(cells, &keys::approval(execution)).await?;
    Ok(asked.filter(|asked| asked.settled().is_none()))
}

/// The question of an execution that people were not told of, though it was open for `long`.
pub async fn untold_question(
    cells: &impl Cells,
    execution: &str,
    long: Millis,
    now: Timestamp,
) -> Result<Option<Arc<Asked>>, Fault> {
    let asked = look::<Asked>(cells, &keys::approval(execution)).await?;
    let untold = asked.filter(|asked| {
        let question = &asked.question;
        !asked.told
            && asked.settled().is_none()
            && now <= question.expires_at
            && elapsed(question.asked_at, now) >= long
    });
    Ok(untold)
}

/// What people are told of a question.
pub fn page(plan: &Plan, incident: &str, asked: &Asked) -> Page {
    let question = &asked.question;
    let verb = match question.matter {
        Matter::Approval => "approve",
        Matter::Acceptance => "accept",
    };
    Page {
        severity: Severity::Critical,
        plan: plan.name.clone(),
        incident: Some(incident.to_owned()),
        text: format!(
            "{}: {}. Answer until {}{}: `understudy {verb} PLAN {} --by ROLE --digest {}`, or `refuse`; silence is a no",
            plan.title,
            question.shown,
            instant(question.expires_at),
            who(plan, question),
            question.execution,
            asked.digest()
        ),
        dedup: format!("{}-{verb}", question.execution),
    }
}

/// How many must say yes and who is heard, where the plan says so: one woken person must not take a single yes for
/// enough.
fn who(plan: &Plan, question: &Question) -> String {
    let many =
        (question.approvals > 1).then(|| format!(", {} different people must say yes", question.approvals));
    let roles = &plan.policy.approvers;
    let heard = (!roles.is_empty()).then(|| format!(", heard are {}", roles.join(", ")));
    many.into_iter().chain(heard).collect()
}

/// What the approver works with.
pub struct Approver<'a, C, K, T, P> {
    pub plan: &'a Plan,
    pub plan_digest: &'a str,
    pub cells: &'a C,
    pub clock: &'a K,
    pub tokens: &'a T,
    pub pager: &'a P,
}

/// What the approver is called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Ask { execution: String, step: Step, token: String },
    Answer(Answer),
}

/// Reads an event: the workflow asks, or a person answers.
pub fn read(event: &Value) -> Result<Call, Fault> {
    match (event.get("answer"), event.get("token")) {
        (Some(answer), _) => {
            call::only(event, &["answer"])?;
            call::only(answer, &["execution", "yes", "by", "digest"])?;
            Ok(Call::Answer(Answer {
                execution: call::execution(answer.get("execution"), "answer.execution")?,
                yes: call::field(event, "answer.yes", "true or false")?,
                by: call::field(event, "answer.by", "text")?,
                digest: call::field(event, "answer.digest", "text")?,
            }))
        }
        (None, Some(_)) => {
            call::only(event, &["execution", "step", "token"])?;
            Ok(Call::Ask {
                execution: call::execution(event.get("execution"), "execution")?,
                step: call::field(event, "step", "a step of the workflow")?,
                token: call::field(event, "token", "text")?,
            })
        }
        (None, None) => Err(Fault::invalid("event: neither a question (`token`) nor an answer (`answer`)")),
    }
}

pub async fn answer<C: Cells, K: Clock, T: Tokens, P: Pager>(
    approver: &Approver<'_, C, K, T, P>,
    event: &Value,
) -> Result<Reply, Fault> {
    match read(event)? {
        Call::Ask { execution, step, token } => approver.ask(&execution, step, token).await,
        Call::Answer(answer) => approver.take(answer).await,
    }
}

impl<C: Cells, K: Clock, T: Tokens, P: Pager> Approver<'_, C, K, T, P> {
    fn context<'b>(&'b self, execution: &'b str) -> Context<'b, C, K> {
        Context {
            plan: self.plan,
            plan_digest: self.plan_digest,
            cells: self.cells,
            clock: self.clock,
            execution,
            writer: "approver",
        }
    }

    /// Shows the question. The task of the workflow waits until its token is sent, or runs out.
    async fn ask(&self, execution: &str, step: Step, token: String) -> Result<Reply, Fault> {
        let matter = match step {
            Step::AskApproval => Matter::Approval,
            Step::AskAcceptance => Matter::Acceptance,
            other => return Err(not_mine(other, "approver")),
        };
        let run = Run::read(self.cells, execution).await?;
        let now = self.clock.now();
        let question = Question {
            plan: self.plan.name.clone(),
            execution: execution.to_owned(),
            matter,
            epoch: run.claimed_epoch()?,
            shown: run.shown.clone(),
            loss_ms: run.stated_loss_ms,
            overrides: run.overrides.clone(),
            started_by: run.asked.as_ref().map(|request| request.by.clone()),
            approvals: self.plan.policy.approvals,
            asked_at: now,
            expires_at: after(now, self.plan.policy.approval_timeout),
        };
        let asked = Asked {
            digest: question.digest(),
            question,
            token,
            answers: Vec::new(),
            former: Vec::new(),
            told: false,
        };
        // A second delivery brings the same token and changes nothing; a new question replaces an old one, and never
        // the other way round, however late the old one comes (L5).
        let stands = update::<Asked, _>(self.cells, &keys::approval(execution), |current| {
            Ok(match current {
                Some(current) if current.is_newer_than(&asked) => Change::Keep,
                Some(current) => Change::Write(asked.clone().in_place_of(current)),
                None => Change::Write(asked.clone()),
            })
        })
        .await?;
        let stands = stands.unwrap_or_else(|| Arc::new(asked.clone()));
        // A delivery that comes late finds the next one's question there: that one is told to people, not this.
        if self.is_superseded(execution, &asked.token).await? {
            return Ok(Reply::new(Outcome::Done, "a newer question stands"));
        }
        self.context(execution).journal().append_once(stands.entry()).await?;
        let asks = format!("asked; silence until {} is a no", stands.question.expires_at);
        if self.is_superseded(execution, &asked.token).await? {
            return Ok(Reply::new(Outcome::Done, asks));
        }
        // The question stands, and can be answered. That people hear of it late costs them time, and not the answer: the
        // alarm handler's tick tells them.
        if let Err(fault) = self.pager.page(&page(self.plan, &run.incident, &stands)).await {
            return Ok(Reply::new(Outcome::Done, format!("{asks}; people are told late: {fault}")));
        }
        let noted = update::<Asked, _>(self.cells, &keys::approval(execution), |current| {
            Ok(match current {
                Some(current) if current.token == asked.token && !current.told => {
                    Change::Write(Asked { told: true, ..current.clone() })
                }
                _ => Change::Keep,
            })
        })
        .await;
        // People know this question by its digest: a note that fails must not have it asked anew. It is told once more.
        let asks = match noted {
            Ok(_) => asks,
            Err(fault) => format!("{asks}; people may be told twice: {fault}"),
        };
        Ok(Reply::new(Outcome::Done, asks))
    }

    async fn is_superseded(&self, execution: &str, token: &str) -> Result<bool, Fault> {
        let stands = look::<Asked>(self.cells, &keys::approval(execution)).await?;
        Ok(stands.is_none_or(|stands| stands.token != token))
    }

    /// Takes an answer that fits the open question, and tells the workflow.
    async fn take(&self, answer: Answer) -> Result<Reply, Fault> {
        let now = self.clock.now();
        let asked = update::<Asked, _>(self.cells, &keys::approval(&answer.execution), |current| {
            let Some(asked) = current else {
                return Err(Fault::invalid("answer.execution: nothing was asked for it"));
            };
            fits(self.plan, asked, &answer, now)?;
            // A second delivery of one answer is one answer (L5).
            Ok(if asked.answers.contains(&answer) {
                Change::Keep
            } else {
                let mut next = asked.clone();
                next.answers.push(answer.clone());
                Change::Write(next)
            })
        })
        .await?
        .ok_or_else(|| Fault::bug("a question vanished while it was answered"))?;
        let by = answer.by.clone();
        let context = self.context(&answer.execution);
        // Who asked may have died before it was on record; an answer never stands there without its question.
        context.journal().append_once(asked.entry()).await?;
        // Nor without the answers before it: who took one of them may have died in the same way.
        for given in &asked.answers {
            let (matter, digest) = (asked.question.matter, given.digest.clone());
            let entry = Entry::Answered { matter, yes: given.yes, by: given.by.clone(), digest };
            context.journal().append_once(entry).await?;
        }
        let reply = match (asked.settled(), asked.approved_by()) {
            (Some(_), Some(all)) => Reply::new(Outcome::Approved, format!("yes by {all}")),
            (Some(_), None) => Reply::new(Outcome::Refused, format!("no by {by}")),
            (None, _) => {
                let given = asked.answers.len();
                return Ok(Reply::new(
                    Outcome::Done,
                    format!("{given} of {} said yes", asked.question.approvals),
                ));
            }
        };
        let output = serde_json::to_value(&reply).map_err(Fault::bug)?;
        self.tokens.send(&asked.token, &output).await?;
        Ok(reply)
    }
}

/// Whether an answer may be taken: it names what was shown, in time, by somebody who may, and changes no answer that
/// was given.
fn fits(plan: &Plan, asked: &Asked, answer: &Answer, now: Timestamp) -> Result<(), Fault> {
    if answer.by.trim().is_empty() {
        return Err(Fault::invalid("answer.by: must name who answers"));
    }
    let roles = &plan.policy.approvers;
    if !roles.is_empty() && !roles.iter().any(|role| same_name(role, &answer.by)) {
        let roles = roles.join(", ");
        return Err(Fault::invalid(format!("answer.by: the plan hears {roles}, and nobody else")));
    }
    let by = |name: &String| same_name(name, &answer.by);
    if answer.yes && asked.question.started_by.as_ref().is_some_and(by) {
        return Err(Fault::invalid("answer.by: who asked for a move may not approve it; somebody else must"));
    }
    if answer.yes && asked.question.overrides.iter().any(|given| by(&given.by)) {
        return Err(Fault::invalid(
            "answer.by: who overrides a check may not approve what it lets through; somebody else must",
        ));
    }
    if answer.digest != asked.digest() {
        return Err(Fault::invalid(
            "answer.digest: this is not the question that is open; look again and answer that",
        ));
    }
    if now > asked.question.expires_at {
        return Err(Fault::invalid(format!(
            "answer: the question expired at {}; silence was a no",
            asked.question.expires_at
        )));
    }
    if asked.answers.contains(answer) {
        return Ok(());
    }
    // Who said yes may still say no, for as long as the others are waited for.
    let settler = asked.settled().and_then(|_| asked.answers.last());
    match settler.or_else(|| asked.answers.iter().find(|given| by(&given.by) && answer.yes)) {
        Some(given) => Err(Fault::invalid(format!("answer: `{}` answered before", given.by))),
        None => Ok(()),
    }
}
