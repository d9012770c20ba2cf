//! Questions about a store's two instances, and the login that the application will need.

use super::{Deployment, Instance, LiveStore, Row};
use crate::checks::{Finding, Grade};
use crate::observed::Observed;
use crate::plan::{Plan, Store};

/// Asks `ask` of every store; an optional one only warns.
fn each(
    id: &'static str,
    plan: &Plan,
    seen: &Deployment,
    ask: impl Fn(&Row<'_>, &Store, &LiveStore) -> Option<Finding>,
) -> Vec<Finding> {
    let about = |store: &Store| {
        let row = Row { id, subject: &store.name };
        let found = match seen.stores.iter().find(|live| live.store == store.name) {
            Some(live) => ask(&row, store, live)?,
            None => row.unknown("it was not looked at", "report this as a defect"),
        };
        Some(if store.required || !found.blocks() { found } else { Finding { grade: Grade::Warn, ..found } })
    };
    plan.stores.iter().filter_map(about).collect()
}

/// Both instances with their ids, where both are known and there: LV-11 speaks of the others.
fn both<'a>(store: &'a Store, live: &'a LiveStore) -> Option<[(&'a str, &'a Instance); 2]> {
    let there = |seen: &'a Observed<Option<Instance>>| seen.value()?.as_ref();
    Some([
        (store.primary.id.as_str(), there(&live.primary)?),
        (store.standby.id.as_str(), there(&live.standby)?),
    ])
}

pub(super) fn available(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(id, plan, seen, |row, store, live| {
        let sides = [
            (&store.primary.id, &plan.regions.primary, &live.primary),
            (&store.standby.id, &plan.regions.standby, &live.standby),
        ];
        let bad = sides.into_iter().find_map(|(id, region, side)| match side {
            Observed::Unknown { reason } => {
                Some(row.unknown(reason, format!("let this login describe instances in {}", region.0)))
            }
            Observed::Known { value: None, .. } => Some(row.block(
                format!("no instance `{id}` in {}", region.0),
                "give the plan the instance's own id; for the standby, make a cross-Region replica",
            )),
            Observed::Known { value: Some(one), .. } => (one.status != "available").then(|| {
                let evidence = format!("`{id}` in {} is `{}`", region.0, one.status);
                row.block(evidence, "wait until it is available, or mend what keeps it")
            }),
        });
        Some(bad.unwrap_or_else(|| {
            row.pass(format!("`{}` and `{}` are available", store.primary.id, store.standby.id))
        }))
    })
}

pub(super) fn replica(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(id, plan, seen, |row, store, live| {
        let [(primary, one), (standby, other)] = both(store, live)?;
        if let Some(source) = &one.source {
            return Some(row.block(
                format!("`{primary}`, which the plan calls the primary, is itself a replica of `{source}`"),
                "see which of the two serves; the plan may have its Regions crossed",
            ));
        }
        let fix = format!("make `{standby}` a cross-Region replica of `{primary}`");
        Some(match &other.source {
            None => row.block(
                format!("`{standby}` replicates nothing: it stands alone"),
                "ask `understudy status` who serves: an instance that was promoted holds the newest data, and is not to be rebuilt",
            ),
            Some(source) if is(source, &plan.regions.primary.0, primary) => {
                row.pass(format!("`{standby}` replicates `{source}`"))
            }
            Some(source) => row.block(format!("`{standby}` replicates `{source}`, not `{primary}`"), fix),
        })
    })
}

/// Across Regions the service names the source by its ARN: `arn:aws:rds:REGION:ACCOUNT:db:ID`.
fn is(arn: &str, region: &str, id: &str) -> bool {
    let parts: Vec<&str> = arn.split(':').collect();
    matches!(parts.as_slice(), ["arn", _, "rds", in_region, _, "db", name] if *in_region == region && *name == id)
}

pub(super) fn streams(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(id, plan, seen, |row, store, live| {
        let [_, (standby, other)] = both(store, live)?;
        // One that stands alone has no stream; LV-12 speaks of it.
        other.source.as_ref()?;
        let fix = "see the replica's log and events; a replica that lost its source is made anew";
        Some(match other.replication.as_deref() {
            Some("replicating") => row.pass(format!("`{standby}` is replicating")),
            Some(word) => row.block(format!("the stream of `{standby}` is `{word}`"), fix),
            None => row.unknown(format!("the service does not say whether `{standby}` is replicating"), fix),
        })
    })
}

pub(super) fn backups(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(id, plan, seen, |row, store, live| {
        let sides = both(store, live)?;
        let days = sides.map(|(id, one)| (id, one.backup_retention_days));
        let fix = "set a backup retention of a day or more: without one, the first backup runs inside the promotion";
        Some(match days {
            [(_, Some(primary)), (_, Some(standby))] if primary > 0 && standby > 0 => {
                row.pass(format!("kept for {primary} and {standby} days"))
            }
            [(id, None), _] | [_, (id, None)] => {
                row.unknown(format!("the service does not say how long `{id}` keeps backups"), fix)
            }
            [(primary, Some(0)), _] => row.block(format!("`{primary}` keeps no backups"), fix),
            [_, (standby, _)] => row.block(format!("`{standby}` keeps no backups"), fix),
        })
    })
}

pub(super) fn iam_logins(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(id, plan, seen, |row, store, live| {
        let sides = both(store, live)?;
        let fix =
            "enable IAM database authentication on both; Understudy logs in by it and holds no password";
        let without = sides.iter().find(|(_, one)| one.iam_authentication != Some(true));
        Some(match without {
            None => row.pass("both take IAM logins"),
            Some((id, Instance { iam_authentication: None, .. })) => {
                row.unknown(format!("the service does not say whether `{id}` takes IAM logins"), fix)
            }
            Some((id, _)) => row.block(format!("`{id}` takes no IAM logins"), fix),
        })
    })
}

/// The first release of each major version whose free space map names no page that is not there. Before it a hint may
/// replicate such a map, and behind a promotion inserts fail with `XX001` for good. PostgreSQL's commit "freespace: Don't
/// return blocks past the end of the main fork" of April 2024 mends it, from major version 14 on.
const SOUND_FREE_SPACE_MAP: [(u32, u32); 3] = [(14, 12), (15, 7), (16, 3)];

pub(super) fn release(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(id, plan, seen, |row, store, live| {
        let sides = both(store, live)?;
        let fix = "upgrade both to 14.12, 15.7, 16.3 or later: a standby promoted before that may refuse every insert";
        let versions = sides.map(|(id, one)| (id, one.engine_version.as_deref().unwrap_or_default()));
        let sound = versions.map(|(_, version)| release_of(version).map(is_sound));
        Some(match (versions, sound) {
            ([(_, primary), (_, standby)], [Some(true), Some(true)]) => {
                row.pass(format!("PostgreSQL {primary} and {standby}"))
            }
            ([(id, version), _], [Some(false), _]) | ([_, (id, version)], [_, Some(false)]) => {
                row.block(format!("`{id}` is PostgreSQL {version}"), fix)
            }
            ([(id, _), _], [None, _]) | ([_, (id, _)], _) => {
                row.unknown(format!("the service does not say which release `{id}` is"), fix)
            }
        })
    })
}

/// By another name the certificate does not fit, and no token logs in.
pub(super) fn endpoints(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(id, plan, seen, |row, store, live| {
        let sides = both(store, live)?;
        let named = [&store.primary, &store.standby];
        let told = sides.iter().zip(named).find_map(|((id, one), named)| match &one.endpoint {
            None => Some(row.unknown(
                format!("the service does not say where `{id}` answers"),
                "wait until it is available",
            )),
            Some((host, port)) if *host != named.host || *port != named.port => Some(row.block(
                format!("`{id}` answers at {host}:{port}, and the plan says {}:{}", named.host, named.port),
                "write the instance's own endpoint: its certificate and logins by token are good for no other name",
            )),
            Some(_) => None,
        });
        Some(told.unwrap_or_else(|| row.pass("the plan names both by their own endpoints")))
    })
}

/// Major and minor of `16.11` or `15.7-rds.20240509`.
fn release_of(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.split_once('.')?;
    let minor = rest.split(|other: char| !other.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn is_sound((major, minor): (u32, u32)) -> bool {
    match SOUND_FREE_SPACE_MAP.iter().find(|(known, _)| *known == major) {
        Some((_, first)) => minor >= *first,
        None => SOUND_FREE_SPACE_MAP.iter().all(|(known, _)| major > *known),
    }
}

pub(super) fn secret(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    let region = &plan.regions.standby.0;
    each(id, plan, seen, |row, store, live| {
        let name = &store.application.secret;
        Some(match &live.secret {
            Observed::Unknown { reason } => {
                row.unknown(reason, format!("let this login describe secrets in {region}"))
            }
            Observed::Known { value: None, .. } => row.block(
                format!("no secret `{name}` in {region}"),
                "replicate the application's login there, as JSON with `username` and `password`",
            ),
            Observed::Known { value: Some(held), .. } => match &held.leaves_on {
                None => row.pass(format!("`{name}` is there; what it holds was not read")),
                Some(day) => row.block(format!("`{name}` is marked to be deleted on {day}"), "restore it"),
            },
        })
    })
}
