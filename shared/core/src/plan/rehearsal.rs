//! The rehearsal environment's plan: the same recovery, on resources of its own.
//!
//! Every name that Understudy gives begins with the plan's; under this plan's name the same template makes a second
//! set of stacks, with its own table, bucket and switch. That nothing here is production's is held by `apart`.

use super::model::{Application, Environment, Hook, Plan, Rehearsal, Route, Store};

/// What the name of a rehearsal's plan ends in, and no other's.
pub const SUFFIX: &str = "-rehearsal";

/// What the title of a rehearsal's plan ends in.
const MARK: &str = " (rehearsal)";

/// A title is no longer than this, its mark included.
const TITLE_MAX: usize = 200;

pub fn rehearsal_name(plan: &str) -> String {
    format!("{plan}{SUFFIX}")
}

impl Plan {
    /// The plan of the rehearsal environment, or `None` where this plan names no twin. A rehearsal has none.
    #[must_use]
    pub fn rehearsal(&self) -> Option<Self> {
        let twin = self.rehearsal.as_ref()?;
        Some(Self {
            name: rehearsal_name(&self.name),
            title: title(&self.title),
            environment: Environment::Rehearsal,
            stores: self.stores.iter().map(|store| twin.store(store)).collect::<Option<_>>()?,
            routes: self.routes.iter().map(|route| twin.route(route)).collect::<Option<_>>()?,
            hooks: self.hooks.iter().map(|hook| twin.hook(hook)).collect::<Option<_>>()?,
            rehearsal: None,
            ..self.clone()
        })
    }
}

fn title(title: &str) -> String {
    let room = TITLE_MAX.saturating_sub(MARK.len());
    title.chars().take(room).chain(MARK.chars()).collect()
}

impl Rehearsal {
    fn store(&self, store: &Store) -> Option<Store> {
        let twin = self.stores.iter().find(|twin| twin.name == store.name)?;
        Some(Store {
            primary: twin.primary.clone(),
            standby: twin.standby.clone(),
            application: Application { secret: twin.secret.clone(), ..store.application.clone() },
            ..store.clone()
        })
    }

    fn route(&self, route: &Route) -> Option<Route> {
        let twin = self.routes.iter().find(|twin| twin.name == route.name)?;
        Some(Route {
            record: twin.record.clone(),
            zone_id: twin.zone_id.clone(),
            primary: twin.primary.clone(),
            standby: twin.standby.clone(),
            verdict_record: twin.verdict_record.clone(),
            ..route.clone()
        })
    }

    fn hook(&self, hook: &Hook) -> Option<Hook> {
        let twin = self.hooks.iter().find(|twin| twin.name == hook.name)?;
        Some(Hook { http: twin.http.clone(), undo: twin.undo.clone(), ..hook.clone() })
    }
}
