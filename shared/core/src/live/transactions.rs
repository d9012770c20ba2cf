//! The write that `Confirm` will make by the public name, tried before it counts: a wrong path is found behind the one-way
//! door otherwise.

use super::{Deployment, Row};
use crate::checks::Finding;
use crate::plan::{Plan, Route};
use crate::ports::{Http, HttpAnswer};
use crate::switch::Side;
use futures_util::future::join;
use jiff::Timestamp;
use serde_json::json;

/// What a write by the primary's endpoint came to, and a look at the same path of the standby's, which writes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveTransaction {
    pub route: String,
    pub primary: HttpAnswer,
    pub standby: HttpAnswer,
}

/// Tries one route: `POST {"id", "body"}` as `Confirm` does, and `GET` of the path where the standby stands by.
pub async fn transact(plan: &Plan, route: &Route, http: &impl Http, at: Timestamp) -> LiveTransaction {
    let timeout = plan.detection.probe_timeout;
    let url = |side| format!("{}{}", route.endpoint(side), route.transaction_path);
    let id = format!("understudy-check-{}", at.as_millisecond());
    let body = json!({"id": id, "body": "a check of the transaction's path"});
    let (there, here) = (url(Side::Primary), url(Side::Standby));
    let (primary, standby) = join(http.post(&there, &body, timeout), http.get(&here, timeout)).await;
    LiveTransaction { route: route.name.clone(), primary, standby }
}

fn each(plan: &Plan, seen: &Deployment, ask: impl Fn(&Route, &LiveTransaction) -> Finding) -> Vec<Finding> {
    let tried = |route: &&Route| seen.transactions.iter().find(|tried| tried.route == route.name);
    plan.routes.iter().filter_map(|route| Some(ask(route, tried(&route)?))).collect()
}

pub(super) fn taken(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(plan, seen, |route, tried| {
        let row = Row { id, subject: &route.name };
        let what = format!("POST {}{}: {}", route.primary, route.transaction_path, tried.primary);
        let fix = "`transaction_path` must take `{\"id\": …, \"body\": …}` with a 2xx, write it, and answer the same id once more in the \
                   same way; behind a failover `Confirm` sends nothing else";
        match &tried.primary {
            answer if answer.is_good() => row.pass(what),
            HttpAnswer::Status(_) => row.block(what, fix),
            HttpAnswer::Failed(_) => {
                row.unknown(what, "ask from where the primary can be reached, while it serves")
            }
        }
    })
}

pub(super) fn stands_by(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(plan, seen, |route, tried| {
        let row = Row { id, subject: &route.name };
        let what = format!("GET {}{}: {}", route.standby, route.transaction_path, tried.standby);
        match &tried.standby {
            HttpAnswer::Status(404) => row.warn(
                what,
                "see that the standby's application has this path too: many answer 404 to a GET of what they take by POST alone, \
                 and one that lacks it answers the same",
            ),
            HttpAnswer::Status(_) => row.pass(what),
            HttpAnswer::Failed(_) => row.unknown(what, "ask from where the standby can be reached"),
        }
    })
}
