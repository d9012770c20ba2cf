//! One event, one named statement, one answer; bounded as a whole.

use crate::connect::{Connector, Login, Refusal, Target};
use crate::statements;
use crate::token;
use aws_credential_types::Credentials;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;
use understudy_core::call;
use understudy_core::ddl::commit_bound;
use understudy_core::fault::Fault;
use understudy_core::plan::{Plan, Store};
use understudy_core::ports::Role;
use understudy_core::sql::{Answer, FailureClass, Secret, Statement};

/// A heartbeat that takes longer than this attests nothing; every other statement is quicker still.
const LIMIT: Duration = Duration::from_secs(5);
/// By then whatever is looked at beside a statement's own work is given up.
const LOOKS: Duration = Duration::from_millis(4_500);

pub struct Agent {
    pub plan: Plan,
    pub role: Role,
    pub connector: Connector,
    /// Whose login tokens are signed.
    pub credentials: fn() -> Result<Credentials, Refusal>,
}

impl Agent {
    pub async fn answer(&self, event: Value) -> Result<Answer, Fault> {
        let statement = call::statement(&event)?;
        let store = self
            .plan
            .stores
            .iter()
            .find(|store| store.name == statement.store())
            .ok_or_else(|| Fault::invalid("store: the plan has no store of this name"))?;
        let answer = tokio::time::timeout(LIMIT, self.run(store, &statement)).await;
        Ok(match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(refusal)) => Answer::Failed { class: refusal.class, detail: refusal.detail },
            Err(_) => Answer::Failed {
                class: FailureClass::Timeout,
                detail: format!("{} did not end within {} s", statement.name(), LIMIT.as_secs()),
            },
        })
    }

    async fn run(&self, store: &Store, statement: &Statement) -> Result<Answer, Refusal> {
        let until = Instant::now() + LOOKS;
        match statement {
            Statement::Heartbeat { .. } => {
                let client = self.operator(store).await?;
                let bound = commit_bound(&self.plan);
                statements::heartbeat(&client, store, bound, until).await.map(Answer::Heartbeat)
            }
            Statement::SetLease { epoch, holder, since, valid_ms, .. } => {
                let mut client = self.operator(store).await?;
                statements::set_lease(&mut client, *epoch, holder, *since, *valid_ms)
                    .await
                    .map(|()| Answer::LeaseSet)
            }
            Statement::Fence { epoch, holder, .. } => {
                let mut client = self.operator(store).await?;
                let bound = commit_bound(&self.plan);
                statements::fence(&mut client, store, bound, (*epoch, holder), until).await.map(Answer::Fence)
            }
            Statement::ReplicaStatus { .. } => {
                let client = self.operator(store).await?;
                statements::replica_status(&client, store).await.map(Answer::Replica)
            }
            Statement::ApplicationRead { login, .. } => {
                let client = self.application(store, login).await?;
                statements::application_read(&client).await.map(|()| Answer::ApplicationRead)
            }
            Statement::ApplicationWrite { login, token, .. } => {
                let writer = self.application(store, login).await?;
                statements::application_write(&writer, token).await?;
                // Read back on a connection of its own: what one session believes is not yet committed.
                let reader = self.application(store, login).await?;
                statements::application_read_back(&reader, token).await.map(|()| Answer::ApplicationWrote)
            }
        }
    }

    fn target<'a>(&self, store: &'a Store) -> Target<'a> {
        let instance = match self.role {
            Role::Primary => &store.primary,
            Role::Standby | Role::Witness => &store.standby,
        };
        Target { host: &instance.host, port: instance.port, database: &store.database }
    }

    /// As the operator role, by an RDS IAM token that is signed here and valid for minutes.
    async fn operator(&self, store: &Store) -> Result<tokio_postgres::Client, Refusal> {
        let target = self.target(store);
        let region = self.role.region(&self.plan.regions).unwrap_or(&self.plan.regions.standby);
        let password = token::sign(&target, &store.operator_role, &region.0, (self.credentials)()?)?;
        self.connector.connect(&target, &Login { user: &store.operator_role, password: &password }).await
    }

    /// As the application, by its own secret, which the caller read and passed on.
    async fn application(&self, store: &Store, login: &Secret) -> Result<tokio_postgres::Client, Refusal> {
        let login = Login { user: &login.username, password: &login.password };
        self.connector.connect(&self.target(store), &login).await
    }
}
