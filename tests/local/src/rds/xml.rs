//! The documents of the RDS Query protocol. Text only: nothing here knows what any of it means.

use super::Instance;
use jiff::Timestamp;

/// The account that the emulator plays.
const ACCOUNT: &str = "000000000000";
const NAMESPACE: &str = "http://rds.amazonaws.com/doc/2014-10-31/";
const REQUEST_ID: &str = "00000000-0000-0000-0000-000000000000";
/// The release of the servers that `pg_bin` is expected to hold.
const ENGINE_VERSION: &str = "16.11";

/// The word for a replica's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replication {
    Replicating,
    Error,
    Terminated,
}

/// An instance as one asker sees it.
pub(super) struct View<'a> {
    pub(super) instance: &'a Instance,
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) arn: String,
    pub(super) source: Option<String>,
    pub(super) replicas: Vec<String>,
    pub(super) latest_restorable: Option<Timestamp>,
    pub(super) replication: Option<Replication>,
}

pub(super) fn arn(region: &str, id: &str) -> String {
    format!("arn:aws:rds:{region}:{ACCOUNT}:db:{id}")
}

/// A successful answer around its `content`.
pub(super) fn result(action: &str, content: &str) -> String {
    let metadata = raw("ResponseMetadata", &text("RequestId", REQUEST_ID));
    let result = raw(&format!("{action}Result"), content);
    format!(
        "<?xml version=\"1.0\"?><{action}Response xmlns=\"{NAMESPACE}\">{result}{metadata}</{action}Response>"
    )
}

pub(super) fn refusal(code: &str, message: &str) -> String {
    let error = text("Type", "Sender") + &text("Code", code) + &text("Message", message);
    let content = raw("Error", &error) + &text("RequestId", REQUEST_ID);
    format!("<?xml version=\"1.0\"?><ErrorResponse xmlns=\"{NAMESPACE}\">{content}</ErrorResponse>")
}

pub(super) fn instance(view: &View<'_>) -> String {
    let instance = view.instance;
    let endpoint = text("Address", &view.address) + &text("Port", &view.port.to_string());
    let mut fields = [
        text("DBInstanceIdentifier", &instance.id),
        text("DBInstanceStatus", &instance.status.to_string()),
        text("DBInstanceClass", "db.t4g.medium"),
        text("Engine", "postgres"),
        text("EngineVersion", ENGINE_VERSION),
        raw("Endpoint", &endpoint),
        text("BackupRetentionPeriod", &instance.backup_retention_days.to_string()),
        text("IAMDatabaseAuthenticationEnabled", "true"),
        text("DBInstanceArn", &view.arn),
        text("DbiResourceId", &resource_id(&instance.id)),
        raw("ReadReplicaDBInstanceIdentifiers", &list("ReadReplicaDBInstanceIdentifier", &view.replicas)),
    ]
    .concat();
    if let Some(source) = &view.source {
        fields += &text("ReadReplicaSourceDBInstanceIdentifier", source);
    }
    if let Some(time) = view.latest_restorable {
        fields += &text("LatestRestorableTime", &format!("{time:.3}"));
    }
    if let Some(replication) = view.replication {
        fields += &raw("StatusInfos", &status_info(replication));
    }
    raw("DBInstance", &fields)
}

fn status_info(replication: Replication) -> String {
    let (normal, status) = match replication {
        Replication::Replicating => ("true", "replicating"),
        Replication::Error => ("false", "error"),
        Replication::Terminated => ("false", "terminated"),
    };
    let info = text("StatusType", "read replication") + &text("Normal", normal) + &text("Status", status);
    raw("DBInstanceStatusInfo", &info)
}

/// `db-` and 26 capitals and digits, always the same for a name.
fn resource_id(id: &str) -> String {
    let own = id.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase());
    format!("db-{}", own.chain(std::iter::repeat('0')).take(26).collect::<String>())
}

fn list(member: &str, values: &[String]) -> String {
    values.iter().map(|value| text(member, value)).collect()
}

/// An element around text, which is escaped.
fn text(name: &str, value: &str) -> String {
    raw(name, &value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}

/// An element around elements.
pub(super) fn raw(name: &str, content: &str) -> String {
    format!("<{name}>{content}</{name}>")
}
