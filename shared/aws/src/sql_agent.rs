//! `sql-agent`, called: the only way to a database.

use crate::function::{Called, Function};
use std::time::Duration;
use understudy_core::fault::Fault;
use understudy_core::plan::Region;
use understudy_core::ports::Sql;
use understudy_core::sql::{Answer, FailureClass, Statement};

/// The agent bounds its own work to less than this.
const PATIENCE: Duration = Duration::from_secs(9);

/// The agent of one Region.
#[derive(Clone, Debug)]
pub struct SqlAgent(Function);

impl SqlAgent {
    pub async fn new(region: &Region, prefix: &str) -> Self {
        let config = crate::scaffold::patient_sdk_config(region, PATIENCE).await;
        Self(Function::new(&config, format!("{prefix}-sql-agent")))
    }
}

impl Sql for SqlAgent {
    async fn ask(&self, statement: &Statement) -> Result<Answer, Fault> {
        let what = format!("sql-agent {} on `{}`", statement.name(), statement.store());
        let payload =
            serde_json::to_vec(statement).map_err(|error| Fault::bug(format!("{what}: {error}")))?;
        match self.0.call(&what, payload).await? {
            Called::Answered(answer) => serde_json::from_value(answer)
                .map_err(|error| Fault::bug(format!("{what}: the answer does not read: {error}"))),
            Called::Failed { kind, message } => Ok(Answer::Failed {
                class: FailureClass::Unreachable,
                detail: format!("the agent failed ({kind}): {message}"),
            }),
        }
    }
}
