//! The witness's eyes on the standby: the standby's table, and the topic by which people hear of it from elsewhere.

use crate::dynamodb::Table;
use crate::scaffold::{Environment, StartError};
use crate::sns::Pages;
use understudy_core::ports::Role;
use understudy_core::watched::Watch;

/// What [`Watch`] borrows; nothing in every other role.
pub struct Watching(Option<(Table, Pages)>);

impl Watching {
    pub async fn of(env: &Environment) -> Result<Self, StartError> {
        if env.role != Role::Witness {
            return Ok(Self(None));
        }
        let standby = Table::new(&env.plan.regions.standby, &env.prefix()).await;
        let pager = Pages::new(env.region(), Environment::value("PAGES_TOPIC")?).await;
        Ok(Self(Some((standby, pager))))
    }

    pub fn watch(&self) -> Option<Watch<'_, Table, Pages>> {
        self.0.as_ref().map(|(standby, pager)| Watch { standby, pager })
    }
}
