//! What a request says about itself: Region, service and key from its signature, and its operation.
//!
//! Reading only; a request that says nothing is not an error here.

use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;

/// The credential scope of a SigV4 signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub access_key_id: String,
    pub region: String,
    pub service: String,
}

impl Scope {
    /// From the `Authorization` header, or from the query of a presigned URL.
    pub fn of(head: &Parts) -> Option<Self> {
        let header = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(header) = header {
            return Self::parse(header.split_once("Credential=")?.1.split([',', ' ']).next()?);
        }
        let mut pairs = form_urlencoded::parse(head.uri.query()?.as_bytes());
        Self::parse(&pairs.find(|(name, _)| name == "X-Amz-Credential")?.1)
    }

    /// `AK/date/region/service/aws4_request`
    fn parse(credential: &str) -> Option<Self> {
        let mut parts = credential.split('/');
        let access_key_id = parts.next()?.to_owned();
        let _date = parts.next()?;
        let region = parts.next()?.to_owned();
        let service = parts.next()?.to_owned();
        (parts.next()? == "aws4_request").then_some(Self { access_key_id, region, service })
    }
}

/// The operation by its own name where the protocol carries one, and as `METHOD path` where it is REST.
pub fn operation(head: &Parts, body: &[u8]) -> String {
    from_target(head)
        .or_else(|| from_rpc_path(head.uri.path()))
        .or_else(|| from_form(head, body))
        .unwrap_or_else(|| format!("{} {}", head.method, head.uri.path()))
}

/// The JSON protocols: `X-Amz-Target: DynamoDB_20120810.PutItem`.
fn from_target(head: &Parts) -> Option<String> {
    let target = head.headers.get("x-amz-target")?.to_str().ok()?;
    Some(target.rsplit('.').next().unwrap_or(target).to_owned())
}

/// RPC v2 CBOR: `/service/GraniteServiceVersion20100801/operation/PutMetricData`.
fn from_rpc_path(path: &str) -> Option<String> {
    let (service, operation) = path.strip_prefix("/service/")?.split_once("/operation/")?;
    (!service.contains('/') && !operation.contains('/')).then(|| operation.to_owned())
}

/// The Query protocol: `Action=` in a form, or in the query of a GET.
fn from_form(head: &Parts, body: &[u8]) -> Option<String> {
    let content_type = head.headers.get(hyper::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_form = content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    let form = if is_form { body } else { head.uri.query()?.as_bytes() };
    form_urlencoded::parse(form).find(|(name, _)| name == "Action").map(|(_, action)| action.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn head(request: hyper::http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_scope_is_read_from_header_and_presigned_query() {
        let signed = head(Request::builder().header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIA1/20261104/us-east-2/monitoring/aws4_request, SignedHeaders=host, \
             Signature=00",
        ));
        let scope = Scope::of(&signed).unwrap();
        assert_eq!(
            (&*scope.access_key_id, &*scope.region, &*scope.service),
            ("AKIA1", "us-east-2", "monitoring")
        );
        let presigned = head(
            Request::builder().uri("/b/k?X-Amz-Credential=AKIA2%2F20261104%2Fus-west-2%2Fs3%2Faws4_request"),
        );
        assert_eq!(Scope::of(&presigned).unwrap().region, "us-west-2");
        assert_eq!(Scope::of(&head(Request::builder().header("authorization", "Bearer x"))), None);
        assert_eq!(Scope::of(&head(Request::builder())), None);
    }

    #[test]
    fn the_operation_is_named_in_every_protocol() {
        let form = "application/x-www-form-urlencoded";
        let cases = [
            (Request::builder().header("x-amz-target", "DynamoDB_20120810.PutItem"), "", "PutItem"),
            (
                Request::builder().method("POST").uri("/service/Granite/operation/PutMetricData"),
                "",
                "PutMetricData",
            ),
            (Request::builder().header("content-type", form), "Version=1&Action=Publish", "Publish"),
            (Request::builder().uri("/?Action=GetCallerIdentity"), "", "GetCallerIdentity"),
            (Request::builder().method("PUT").uri("/bucket/key?x=y"), "Action=No", "PUT /bucket/key"),
        ];
        for (request, body, expected) in cases {
            assert_eq!(operation(&head(request), body.as_bytes()), expected);
        }
    }
}
