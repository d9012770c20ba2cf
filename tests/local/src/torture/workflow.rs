//! The deployed workflow, interpreted state by state on the wall clock.

use super::draw::Fencing;
use super::functions::invoke;
use super::region::{Region, Wall};
use crate::config::Place;
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use understudy_core::approval::open_question;
use understudy_core::fault::Fault;
use understudy_core::ports::Clock;
use understudy_core::time::elapsed;
use understudy_sim::asl::{Execution, Failure, Machine, Next};
use understudy_sim::trace::Status;

/// As AWS: its event of an execution that failed is delivered so often.
const DELIVERIES: u32 = 3;
const PEOPLE_LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs whatever is started, until the returned set is dropped.
pub fn executions(
    region: &Rc<Region>,
    machine: &Rc<Machine>,
    mut started: mpsc::UnboundedReceiver<String>,
) -> JoinSet<()> {
    let mut all = JoinSet::new();
    let (region, machine) = (Rc::clone(region), Rc::clone(machine));
    all.spawn_local(async move {
        let mut running = JoinSet::new();
        while let Some(name) = started.recv().await {
            let (region, machine) = (Rc::clone(&region), Rc::clone(&machine));
            running.spawn_local(async move {
                tokio::select! {
                    () = to_its_end(&region, &machine, &name) => {}
                    () = people(&region, &name) => {}
                }
            });
        }
    });
    all
}

async fn to_its_end(region: &Region, machine: &Machine, name: &str) {
    let status = run(region, machine, name).await;
    if status == Status::Succeeded {
        return;
    }
    let event = json!({
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"name": name, "status": status.word()},
    });
    for _ in 0..DELIVERIES {
        if invoke(region, "report-writer", event.clone()).await.is_ok() {
            return;
        }
        tokio::time::sleep(region.plan.tick.as_std()).await;
    }
}

async fn run(region: &Region, machine: &Machine, name: &str) -> Status {
    let mut execution = Execution::start(machine, name, Wall.now());
    let mut next = execution.step(machine, Wall.now());
    loop {
        next = match next {
            Next::Resume(wait) => {
                tokio::time::sleep(wait.as_std()).await;
                execution.step(machine, Wall.now())
            }
            Next::Invoke { owner, input, timeout } => {
                let began = Wall.now();
                let limit = timeout.unwrap_or_else(|| elapsed(began, execution.times_out_at(machine)));
                let answer = tokio::time::timeout(limit.as_std(), invoke(region, &owner, input)).await;
                match execution.done(machine, answer.map_or_else(|_| Err(late()), told)) {
                    Next::Parked => {
                        let left = limit.saturating_sub(elapsed(began, Wall.now()));
                        parked(region, machine, &mut execution, left.as_std()).await
                    }
                    next => next,
                }
            }
            // Only an invocation parks, and that is waited for where it was made.
            Next::Parked => execution.done(machine, Err(late())),
            Next::Ended { status, .. } => return status,
        };
    }
}

/// Waits for the token of the present state, or for the end of its time.
async fn parked(region: &Region, machine: &Machine, execution: &mut Execution, left: Duration) -> Next {
    let Some(token) = execution.token().map(str::to_owned) else {
        return execution.done(machine, Err(late()));
    };
    let sent = async {
        loop {
            let ring = region.sent.notified();
            if let Some(output) = region.take_token(&token) {
                return output;
            }
            ring.await;
        }
    };
    match tokio::time::timeout(left, sent).await {
        Ok(output) => execution.answered(machine, output),
        Err(_) => execution.done(machine, Err(late())),
    }
}

fn told(answer: Result<Value, Fault>) -> Result<Value, Failure> {
    answer.map_err(|fault| Failure {
        error: fault.error_type().to_owned(),
        cause: fault.to_string(),
        hung: false,
    })
}

fn late() -> Failure {
    let cause = "no answer from the function".to_owned();
    Failure { error: "States.Timeout".to_owned(), cause, hung: true }
}

/// Says yes to whatever is asked, unless nobody is there.
async fn people(region: &Region, execution: &str) {
    if region.fencing == Fencing::Silence {
        return std::future::pending().await;
    }
    let table = region.table(Place::Standby, Place::Standby);
    loop {
        tokio::time::sleep(PEOPLE_LOOK_EVERY).await;
        let Ok(Some(question)) = open_question(&table, execution).await else { continue };
        let digest = question.digest();
        let answer = json!({"execution": execution, "yes": true, "by": "duty-manager", "digest": digest});
        // Asked again at the next look if it was not taken.
        let _ = invoke(region, "approver", json!({ "answer": answer })).await;
    }
}
