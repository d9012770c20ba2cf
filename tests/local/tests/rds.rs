//! The RDS endpoint as the real AWS SDK sees it, through the gateway, and the real servers behind it.
//!
//! The second half needs PostgreSQL's programs: `UNDERSTUDY_PG_BIN` names their folder.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

mod support;

use aws_sdk_rds::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_rds::error::ProvideErrorMetadata;
use aws_sdk_rds::types::DbInstance;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use support::{Room, room, until_served};
use tokio::time::{sleep, timeout};
use understudy_local::config::Place::{Outside, Primary, Standby};
use understudy_local::config::{Cloud, Place};
use understudy_local::postgres::{Application, PRODUCT, Server, Stop};
use understudy_local::rds::{FIRST_BACKUP, PROMOTION};

const SOON: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(20);
const APPLICATION: Application<'_> =
    Application { database: "rag", role: "rag_app", password: "it's \"secret\"" };

async fn serve(cloud: &Cloud) {
    tokio::spawn(understudy_local::serve::serve(cloud.clone()));
    timeout(SOON, until_served(cloud)).await.unwrap();
}

fn rds(cloud: &Cloud, from: Place, region: &str) -> aws_sdk_rds::Client {
    let config = aws_sdk_rds::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .endpoint_url(format!("http://{}", cloud.aws(from)))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_rds::Client::from_conf(config)
}

async fn describe(client: &aws_sdk_rds::Client, id: &str) -> DbInstance {
    let described = client.describe_db_instances().db_instance_identifier(id).send().await.unwrap();
    described.db_instances().first().unwrap().clone()
}

/// As if a base backup had been taken.
fn pretend_replica(room: &Room) {
    let folder = room.folder.path().join("pg/standby");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("standby.signal"), "").unwrap();
}

#[test]
fn a_request_concerns_one_instance_or_all_of_its_region() {
    let one = "arn:aws:rds:us-west-2:000000000000:db:replica";
    for (form, expected) in [
        ("Action=DescribeDBInstances&DBInstanceIdentifier=replica", one),
        (
            "Action=ListTagsForResource&ResourceName=arn%3Aaws%3Ards%3Aus-west-2%3A000000000000%3Adb%3Areplica",
            one,
        ),
        ("Action=DescribeDBInstances", "arn:aws:rds:us-west-2:000000000000:db:*"),
    ] {
        assert_eq!(understudy_local::rds::resource("us-west-2", form.as_bytes()), expected);
    }
}

#[tokio::test]
async fn the_sdk_reads_an_instance_and_its_replica_across_regions() {
    let room = room();
    pretend_replica(&room);
    serve(&room.cloud).await;
    let primary = describe(&rds(&room.cloud, Outside, "us-east-1"), "financial-rag").await;
    let replica_arn = "arn:aws:rds:us-west-2:000000000000:db:financial-rag-replica";
    assert_eq!(primary.db_instance_status(), Some("available"));
    assert_eq!(primary.engine(), Some("postgres"));
    assert_eq!(primary.read_replica_db_instance_identifiers(), [replica_arn]);
    assert_eq!(primary.read_replica_source_db_instance_identifier(), None);
    assert_eq!(primary.backup_retention_period(), Some(7));
    assert_eq!(primary.iam_database_authentication_enabled(), Some(true));
    let endpoint = primary.endpoint().unwrap();
    let expected = room.cloud.db(Outside, Primary);
    assert_eq!(endpoint.address(), Some(expected.ip().to_string().as_str()));
    assert_eq!(endpoint.port(), Some(i32::from(expected.port())));
    let replica = describe(&rds(&room.cloud, Standby, "us-west-2"), "financial-rag-replica").await;
    let source_arn = "arn:aws:rds:us-east-1:000000000000:db:financial-rag";
    assert_eq!(replica.read_replica_source_db_instance_identifier(), Some(source_arn));
    assert_eq!(replica.db_instance_arn(), Some(replica_arn));
    assert_eq!(replica.dbi_resource_id(), Some("db-FINANCIALRAGREPLICA0000000"));
    // No server runs: the stream is known to be broken, and no log was seen.
    assert_eq!(replica.status_infos()[0].normal(), Some(false));
    assert_eq!(replica.latest_restorable_time(), None);
    let tags = rds(&room.cloud, Standby, "us-west-2").list_tags_for_resource().resource_name(replica_arn);
    assert!(tags.send().await.unwrap().tag_list().is_empty());
}

#[tokio::test]
async fn what_is_not_there_and_what_is_no_replica_is_refused_as_aws_does() {
    let room = room();
    serve(&room.cloud).await;
    let east = rds(&room.cloud, Standby, "us-east-1");
    let elsewhere = east.describe_db_instances().db_instance_identifier("financial-rag-replica").send().await;
    let refused = elsewhere.unwrap_err();
    assert_eq!(refused.raw_response().unwrap().status().as_u16(), 404);
    assert!(refused.into_service_error().is_db_instance_not_found_fault());
    let unknown = east.promote_read_replica().db_instance_identifier("<&>").send().await;
    let unknown = unknown.unwrap_err().into_service_error();
    assert!(unknown.is_db_instance_not_found_fault());
    assert_eq!(unknown.message(), Some("DBInstance <&> not found."));
    let source = east.promote_read_replica().db_instance_identifier("financial-rag").send().await;
    let source = source.unwrap_err();
    assert_eq!(source.raw_response().unwrap().status().as_u16(), 400);
    assert!(source.into_service_error().is_invalid_db_instance_state_fault());
    // Its data folder says that it was promoted already, so a new process knows it too.
    let west = rds(&room.cloud, Standby, "us-west-2");
    let again = west.promote_read_replica().db_instance_identifier("financial-rag-replica").send().await;
    assert!(again.unwrap_err().into_service_error().is_invalid_db_instance_state_fault());
    let other =
        west.create_db_snapshot().db_instance_identifier("x").db_snapshot_identifier("y").send().await;
    assert_eq!(other.unwrap_err().code(), Some("InvalidAction"));
}

#[tokio::test]
async fn a_database_name_goes_before_a_link_address() {
    let mut room = room();
    room.cloud.databases[0].host = Some("financial-rag.cexample7k2p.us-east-1.rds.amazonaws.com".into());
    serve(&room.cloud).await;
    let primary = describe(&rds(&room.cloud, Standby, "us-east-1"), "financial-rag").await;
    assert_eq!(
        primary.endpoint().unwrap().address(),
        Some("financial-rag.cexample7k2p.us-east-1.rds.amazonaws.com")
    );
}

/// The two servers, streaming over the link; stopped at the end, also of a failed test.
struct Servers {
    primary: Server,
    standby: Server,
    data: [std::path::PathBuf; 2],
}

impl Drop for Servers {
    fn drop(&mut self) {
        for data in &self.data {
            if let Ok(pid) = std::fs::read_to_string(data.join("postmaster.pid")) {
                let pid = pid.lines().next().unwrap_or_default();
                let _ = std::process::Command::new("kill").args(["-QUIT", pid]).status();
            }
        }
    }
}

fn skipped(test: &str) -> bool {
    let missing =
        std::env::var_os("UNDERSTUDY_PG_BIN").is_none_or(|bin| !Path::new(&bin).join("postgres").exists());
    if missing {
        let why = "UNDERSTUDY_PG_BIN does not name a folder with PostgreSQL's programs";
        let line = format!("SKIPPED {test}: {why}\n");
        // Past the harness, which hides what a passing test prints.
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    missing
}

async fn streaming(room: &Room) -> Servers {
    let cloud = &room.cloud;
    let servers = Servers {
        primary: Server::at(cloud, Primary).unwrap(),
        standby: Server::at(cloud, Standby).unwrap(),
        data: [cloud.databases[0].data_dir.clone(), cloud.databases[1].data_dir.clone()],
    };
    servers.primary.init_primary("replication secret").await.unwrap();
    servers.primary.setup_database(&APPLICATION).await.unwrap();
    let links = understudy_local::links::Links::new();
    let forwarders = understudy_local::links::Forwarders::bind(cloud, &links).await.unwrap();
    let copying = servers.standby.base_backup(cloud.db(Standby, Primary), "standby", "replication secret");
    tokio::select! {
        () = forwarders.run() => unreachable!("the forwarders never end"),
        copied = copying => copied.unwrap(),
    }
    servers.standby.start().await.unwrap();
    serve(cloud).await;
    servers
}

async fn login(
    cloud: &Cloud,
    to: Place,
    role: &str,
    password: &str,
) -> Result<tokio_postgres::Client, String> {
    let address = cloud.db(Outside, to);
    let (client, connection) = tokio_postgres::Config::new()
        .host(address.ip().to_string())
        .port(address.port())
        .user(role)
        .password(password)
        .dbname(APPLICATION.database)
        .connect(tokio_postgres::NoTls)
        .await
        .map_err(|error| {
            error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned())
        })?;
    tokio::spawn(connection);
    Ok(client)
}

async fn app(cloud: &Cloud, to: Place) -> tokio_postgres::Client {
    login(cloud, to, APPLICATION.role, APPLICATION.password).await.unwrap()
}

async fn write(cloud: &Cloud, to: Place, tx: &str) -> Result<u64, String> {
    let insert = "INSERT INTO documents (tx, body) VALUES ($1, 'x')";
    app(cloud, to)
        .await
        .execute(insert, &[&tx])
        .await
        .map_err(|e| e.as_db_error().unwrap().message().to_owned())
}

async fn has(cloud: &Cloud, at: Place, tx: &str) -> bool {
    let count =
        app(cloud, at).await.query_one("SELECT count(*) FROM documents WHERE tx = $1", &[&tx]).await.unwrap();
    count.get::<_, i64>(0) == 1
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !holds().await {
            sleep(STEP).await;
        }
    };
    timeout(Duration::from_secs(30), looking).await.unwrap_or_else(|_| panic!("never came: {what}"));
}

async fn set_link(cloud: &Cloud, state: &str) {
    let body = format!(r#"{{"from": "standby", "to": "primary", "state": "{state}"}}"#);
    let request = hyper::Request::put(format!("http://{}/links", cloud.control()));
    let response =
        support::http().request(request.body(http_body_util::Full::from(body)).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn the_servers_let_in_whom_they_should_and_stream_over_the_link() {
    if skipped("the_servers_let_in_whom_they_should_and_stream_over_the_link") {
        return;
    }
    let room = room();
    let cloud = &room.cloud;
    let servers = streaming(&room).await;
    assert!(login(cloud, Primary, PRODUCT, "").await.is_ok());
    assert!(
        login(cloud, Primary, "rag_app", "wrong")
            .await
            .unwrap_err()
            .contains("password authentication failed")
    );
    for closed in ["postgres", "replicator"] {
        assert!(login(cloud, Primary, closed, "replication secret").await.unwrap_err().contains("rejects"));
    }
    assert_eq!(write(cloud, Primary, "one").await, Ok(1));
    until("the first row", async || has(cloud, Standby, "one").await).await;
    let refused = write(cloud, Standby, "no").await.unwrap_err();
    assert_eq!(refused, "cannot execute INSERT in a read-only transaction");
    let west = rds(cloud, Standby, "us-west-2");
    let normal = async || describe(&west, "financial-rag-replica").await.status_infos()[0].normal();
    for broken in ["refuse", "hang"] {
        set_link(cloud, broken).await;
        until("a broken stream", async || normal().await == Some(false)).await;
        assert_eq!(write(cloud, Primary, broken).await, Ok(1));
        assert!(!has(cloud, Standby, broken).await);
        set_link(cloud, "open").await;
        until("a mended stream", async || has(cloud, Standby, broken).await).await;
        until("its status", async || normal().await == Some(true)).await;
    }
    // A crash loses nothing that was committed.
    assert_eq!(write(cloud, Primary, "crash").await, Ok(1));
    servers.primary.stop(Stop::Immediate).await.unwrap();
    assert!(!servers.primary.is_running().await.unwrap());
    servers.primary.stop(Stop::Immediate).await.unwrap();
    servers.primary.start().await.unwrap();
    assert!(has(cloud, Primary, "crash").await);
    servers.standby.stop(Stop::Fast).await.unwrap();
    servers.primary.stop(Stop::Fast).await.unwrap();
}

/// The statuses of a promotion as a client sees them, each once, until the source is gone.
async fn watch_promotion(west: &aws_sdk_rds::Client) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    loop {
        let now = describe(west, "financial-rag-replica").await;
        let status = now.db_instance_status().unwrap().to_owned();
        if seen.last() != Some(&status) {
            seen.push(status.clone());
        }
        if now.read_replica_source_db_instance_identifier().is_none() {
            assert!(now.status_infos().is_empty());
            return seen;
        }
        if status != "available" {
            let again =
                west.promote_read_replica().db_instance_identifier("financial-rag-replica").send().await;
            assert!(again.unwrap_err().into_service_error().is_invalid_db_instance_state_fault());
        }
        sleep(STEP).await;
    }
}

#[tokio::test]
async fn a_promotion_takes_awss_steps_and_the_server_really_writes() {
    if skipped("a_promotion_takes_awss_steps_and_the_server_really_writes") {
        return;
    }
    let room = room();
    let cloud = &room.cloud;
    let servers = streaming(&room).await;
    assert_eq!(write(cloud, Primary, "before").await, Ok(1));
    until("the row", async || has(cloud, Standby, "before").await).await;
    let west = rds(cloud, Standby, "us-west-2");
    assert!(describe(&west, "financial-rag-replica").await.latest_restorable_time().is_some());
    let started = Instant::now();
    let promote = || west.promote_read_replica().db_instance_identifier("financial-rag-replica").send();
    let accepted = promote().await.unwrap();
    assert_eq!(accepted.db_instance().unwrap().db_instance_status(), Some("available"));
    assert!(promote().await.unwrap_err().into_service_error().is_invalid_db_instance_state_fault());
    let seen = timeout(Duration::from_mins(1), watch_promotion(&west)).await.unwrap();
    assert_eq!(seen, ["available", "modifying", "rebooting", "available"]);
    let least = cloud.scaled(PROMOTION);
    let took = started.elapsed();
    assert!(took >= least && took < least + Duration::from_secs(5), "took {took:?}, expected {least:?}");
    assert_eq!(write(cloud, Standby, "after").await, Ok(1));
    let east = describe(&rds(cloud, Standby, "us-east-1"), "financial-rag").await;
    assert!(east.read_replica_db_instance_identifiers().is_empty());
    assert!(promote().await.unwrap_err().into_service_error().is_invalid_db_instance_state_fault());
    assert!(!servers.standby.is_standby());
    servers.standby.stop(Stop::Fast).await.unwrap();
    servers.primary.stop(Stop::Fast).await.unwrap();
}

#[tokio::test]
async fn a_promotion_without_backups_makes_one_first() {
    if skipped("a_promotion_without_backups_makes_one_first") {
        return;
    }
    let mut room = room();
    room.cloud.databases[1].backup_retention_days = 0;
    let cloud = &room.cloud;
    let servers = streaming(&room).await;
    let west = rds(cloud, Standby, "us-west-2");
    let started = Instant::now();
    west.promote_read_replica().db_instance_identifier("financial-rag-replica").send().await.unwrap();
    let seen = timeout(Duration::from_mins(1), watch_promotion(&west)).await.unwrap();
    assert_eq!(seen, ["available", "modifying", "rebooting", "backing-up", "available"]);
    assert!(started.elapsed() >= cloud.scaled(PROMOTION + FIRST_BACKUP));
    assert_eq!(describe(&west, "financial-rag-replica").await.backup_retention_period(), Some(1));
    servers.standby.stop(Stop::Fast).await.unwrap();
    servers.primary.stop(Stop::Fast).await.unwrap();
}
