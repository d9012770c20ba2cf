//! What happened, one line an event, for people.

use crate::trace::{Event, What};
use understudy_core::report::line;
use understudy_core::switch::Side;
use understudy_core::time::elapsed;
use understudy_core::words::instant;

/// The whole of a trace, without what clients do all the time: of their writes, only where they change sides.
pub fn story(trace: &[Event]) -> String {
    let Some(begin) = trace.first().map(|event| event.at) else { return String::new() };
    let mut clients = None;
    let mut lines = Vec::new();
    for event in trace {
        if let Some(text) = text(&event.what, &mut clients) {
            let millis = elapsed(begin, event.at).0;
            let (minutes, rest) = (millis / 60_000, millis % 60_000);
            lines.push(format!("{minutes:>4}:{:02}.{:03}  {text}\n", rest / 1000, rest % 1000));
        }
    }
    lines.concat()
}

/// What clients of the public name last met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Served(Side),
    Nothing,
}

fn text(what: &What, clients: &mut Option<Met>) -> Option<String> {
    Some(match what {
        What::Broke(broken) => format!("BREAKS   {broken:?}"),
        What::Troubled { call, step, trouble } => {
            let whose = step.map_or_else(|| "a tick".to_owned(), |step| format!("{step:?}"));
            format!("TROUBLE  {} (call {call}, of {whose})", trouble.name())
        }
        What::Acknowledged { side, client: "outside", .. } => return turn(clients, Met::Served(*side)),
        What::Failed { .. } => return turn(clients, Met::Nothing),
        What::Acknowledged { .. }
        | What::Looked { .. }
        | What::ThroughTheDoor { .. }
        | What::Published { level: 0.0 } => return None,
        What::Published { level } => format!("switch   says {level}"),
        What::Journaled(record) => format!("journal  {} {}", record.writer, line(record).text),
        What::PromoteTaken { instance } => format!("store    `{instance}` takes the order to promote"),
        What::StandsAlone { store, position } => {
            format!("store    the replica of `{store}` stands alone from {position} on")
        }
        What::Started { execution } => format!("workflow `{execution}` starts"),
        What::Entered { state, .. } => format!("workflow enters {state}"),
        What::Ended { status, state, .. } => format!("workflow ended {} in {state}", status.word()),
        What::Paged(page) => format!("page     {}", page.text),
        What::ReachedForPrimary { step, .. } => format!("call     {step:?} reaches for the primary"),
        What::Lease { keeper, epoch, holder } => {
            format!("lease    epoch {epoch} is `{}`'s at the keeper in {keeper:?}", holder.0)
        }
        What::PastLease => "database the primary's lease ran out under its writers".to_owned(),
        What::Flag { name, raised, by } => {
            format!("flag     {name} {} by `{by}`", if *raised { "raised" } else { "lowered" })
        }
        What::DeadEnd { execution } => format!("person   nobody gets `{execution}` on from where it stopped"),
        What::Said { by, yes, .. } => format!("person   `{by}` says {}", if *yes { "yes" } else { "no" }),
        What::Overridden { check, by, until } => {
            format!("override {check} by `{by}` until {}", instant(*until))
        }
    })
}

fn turn(clients: &mut Option<Met>, met: Met) -> Option<String> {
    if clients.replace(met) == Some(met) {
        return None;
    }
    Some(match met {
        Met::Served(side) => format!("clients  are served by the {side:?}").to_lowercase(),
        Met::Nothing => "clients  are not served".to_owned(),
    })
}
