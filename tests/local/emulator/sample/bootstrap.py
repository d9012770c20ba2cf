# SPDX-License-Identifier: Apache-2.0
"""A custom runtime in one file: check.py puts a shebang before it and calls it `bootstrap`.

What it does is in the event: `call` an AWS operation, put a metric in `cbor`, `raise` an error of
that type, `sleep`, or just be seen in the log.
"""

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime"


class Named(Exception):
    """An error whose type is chosen by the event."""


def call(service: str, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """One AWS call as this function's role, through this function's endpoint."""
    import boto3
    from botocore.exceptions import ClientError

    try:
        getattr(boto3.client(service), operation)(**arguments)
    except ClientError as error:
        return {"refused": error.response["Error"]["Code"]}
    return {"refused": None}


def put_metric_in_cbor(namespace: str) -> dict[str, Any]:
    """PutMetricData as the Rust SDK sends it; boto3 prefers JSON."""
    import boto3
    import cbor2
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    request = AWSRequest(
        "POST",
        f"{os.environ['AWS_ENDPOINT_URL']}/service/GraniteServiceVersion20100801/operation/PutMetricData",
        data=cbor2.dumps({"Namespace": namespace, "MetricData": [{"MetricName": "Other", "Value": 1.0}]}),
        headers={"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"},
    )
    SigV4Auth(boto3.Session().get_credentials(), "monitoring", os.environ["AWS_REGION"]).add_auth(request)
    signed = urllib.request.Request(request.url, request.data, dict(request.headers), method="POST")
    try:
        return {"status": urllib.request.urlopen(signed).status}
    except urllib.error.HTTPError as error:
        return {"status": error.code}


def handle(event: Any) -> Any:
    """Does what the event says."""
    print("event " + json.dumps(event), flush=True)
    if isinstance(event, dict) and "sleep" in event:
        time.sleep(event["sleep"])
    if isinstance(event, dict) and "raise" in event:
        raise Named(event["raise"])
    if isinstance(event, dict) and "call" in event:
        return call(*event["call"])
    if isinstance(event, dict) and "cbor" in event:
        return put_metric_in_cbor(event["cbor"])
    return {"environment": dict(os.environ)}


def post(path: str, body: Any) -> None:
    """Answers the runtime API."""
    urllib.request.urlopen(urllib.request.Request(API + path, json.dumps(body).encode(), method="POST")).read()


while True:
    with urllib.request.urlopen(API + "/invocation/next") as answer:
        request_id, received = answer.headers["Lambda-Runtime-Aws-Request-Id"], json.loads(answer.read())
    try:
        post(f"/invocation/{request_id}/response", handle(received))
    except Named as error:
        post(f"/invocation/{request_id}/error", {"errorType": str(error), "errorMessage": "as asked"})
