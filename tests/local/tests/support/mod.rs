//! A cloud of its own for each test, and the small clients and servers that tests share.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::sync::Notify;
use understudy_local::config::{Cloud, Database, Place, find_free};

pub const REGIONS: [(&str, Place); 3] =
    [("us-east-1", Place::Primary), ("us-west-2", Place::Standby), ("us-east-2", Place::Witness)];

/// A described cloud in a block that no other test gets.
pub struct Room {
    pub cloud: Cloud,
    pub folder: TempDir,
    _claim: TcpListener,
}

pub fn room() -> Room {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap();
    let free = find_free().unwrap();
    let claim = TcpListener::bind((Ipv4Addr::new(127, free.block, 99, 99), 0)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // PostgreSQL's user has to come through.
    open_to_all(folder.path());
    let database = |id: &str, place: Place, source: Option<&str>| Database {
        id: id.into(),
        place,
        data_dir: folder.path().join("pg").join(place.name()),
        source: source.map(Into::into),
        host: None,
        backup_retention_days: 7,
    };
    let cloud = Cloud {
        block: free.block,
        speed: 60.0,
        state_dir: folder.path().into(),
        emulator_port: free.emulator_port,
        aws_port: free.aws_port,
        web_port: free.web_port,
        db_port: free.db_port,
        dns_port: free.dns_port,
        control_port: free.control_port,
        regions: REGIONS.map(|(region, place)| (region.into(), place)).into(),
        zone_id: String::new(),
        hosts: BTreeMap::new(),
        databases: vec![
            database("financial-rag", Place::Primary, None),
            database("financial-rag-replica", Place::Standby, Some("financial-rag")),
        ],
        pg_bin: std::env::var_os("UNDERSTUDY_PG_BIN").unwrap_or_default().into(),
        pg_user: is_root().then(|| "nobody".into()),
    };
    Room { cloud, folder, _claim: claim }
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

pub type HttpClient = Client<HttpConnector, Full<Bytes>>;

pub fn http() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

/// The whole answer, as status and text.
pub async fn text_of(response: Response<hyper::body::Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// A stand-in for the emulator that says what it heard; `/slow` answers when it is told to.
pub async fn upstream(cloud: &Cloud) -> Arc<Notify> {
    let answer = Arc::new(Notify::new());
    let told = Arc::clone(&answer);
    let listener = tokio::net::TcpListener::bind(cloud.emulator()).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let told = Arc::clone(&told);
            let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                let told = Arc::clone(&told);
                async move {
                    let (head, body) = request.into_parts();
                    let length = body.collect().await.unwrap().to_bytes().len();
                    if head.uri.path() == "/slow" {
                        told.notified().await;
                    }
                    let host = head.headers.get("host").unwrap().to_str().unwrap().to_owned();
                    let echo = format!("{} {} host={host} body={length}", head.method, head.uri);
                    Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(echo))))
                }
            });
            tokio::spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    answer
}

/// Returns when the control API answers, and with it everything else; the connection is retried as a client
/// would.
pub async fn until_served(cloud: &Cloud) {
    while tokio::net::TcpStream::connect(cloud.control()).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
