# SPDX-License-Identifier: Apache-2.0
"""Proves the emulator's mends on a real stack: `python check.py`, about a minute.

Starts an emulator of its own at speed 20, deploys sample/ with `sam deploy`, prints one `ok` line
for each proof and ends with status 1 at the first that fails. Needs only requirements.txt.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

HERE = Path(__file__).resolve().parent
REGION = "us-west-2"
PLACE = 2
SPEED = 20.0


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="emulator-check-"))
    try:
        with running(folder) as cloud:
            stack = deploy(cloud, folder)
            for proof in PROOFS:
                proof(cloud, stack)
        proves_nothing_left(cloud)
        proves_roles_are_kept(cloud)
    except (Failed, ClientError) as error:
        print(f"FAILED {error}\n  state kept in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


class Failed(Exception):
    """A proof did not hold."""


def ok(what: str) -> None:
    print(f"ok {what}", flush=True)


def must(holds: bool, what: str, seen: Any) -> None:
    if not holds:
        raise Failed(f"{what}; seen: {seen!r}")


def eventually(what: str, look: Callable[[], Any], seconds: float) -> tuple[Any, float]:
    """The first truthy answer of `look` and after how many seconds it came."""
    start = time.monotonic()
    while not (found := look()):
        if time.monotonic() - start > seconds:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.05)
    return found, time.monotonic() - start


# ---- the world -------------------------------------------------------------------------------


class World:
    """The emulator under test and clients for it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self.port, self.aws_port, dns_port = free_ports(3)
        self.block = next(block for block in range(2, 251) if not taken(f"127.{block}.{PLACE}.250", self.aws_port))
        self.door = f"127.{self.block}.{PLACE}.250"
        self.dns = f"127.{self.block}.{PLACE}.53:{dns_port}"
        self.pid = 0
        self.file = folder / "cloud.json"
        self.file.write_text(
            json.dumps(
                {
                    "block": self.block,
                    "speed": SPEED,
                    "state_dir": str(self.state),
                    "emulator_port": self.port,
                    "aws_port": self.aws_port,
                    "dns_port": dns_port,
                    "regions": {"us-east-1": "primary", REGION: "standby", "us-east-2": "witness"},
                }
            )
        )

    def client(self, service: str, region: str = REGION) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=region,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}),
        )

    def environment(self) -> dict[str, str]:
        """What `sam` needs. Its search for a newer version is put off: no traffic leaves the machine."""
        sam = self.state / "sam"
        sam.mkdir(exist_ok=True)
        (sam / "metadata.json").write_text(json.dumps({"telemetryEnabled": False, "lastVersionCheck": time.time()}))
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self.state),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "SAM_CLI_TELEMETRY": "0",
            "__SAM_CLI_APP_DIR": str(sam),
        }

    def log(self, function: str) -> list[Any]:
        """The events that a function printed, from its log file."""
        path = self.state / "logs" / REGION / f"{function}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line.removeprefix("event ")) for line in lines if line.startswith("event ")]

    def invoke(self, function: str, event: Any) -> Any:
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())

    def refusal(self, function: str, service: str, operation: str, **arguments: Any) -> str | None:
        """The error code that a function got for an AWS call, None when it was served."""
        answer = self.invoke(function, {"call": [service, operation, arguments]})
        if "refused" not in answer:
            raise Failed(f"{service} {operation}: {answer}")
        return answer["refused"]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def taken(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return True
    return False


@contextlib.contextmanager
def running(folder: Path) -> Iterator[World]:
    """The emulator, and the place's door to it in the gateway's stead."""
    world = World(folder)
    threading.Thread(target=lambda: asyncio.run(stand_at_door(world)), daemon=True).start()
    start = time.monotonic()
    with (folder / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "emulator.py"), str(world.file)],
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
            process_group=0,
        )
    world.pid = process.pid
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        must(b'"ready": true' in line, "the emulator becomes ready", line)
        ok(f"started in {time.monotonic() - start:.1f} s")
        yield world
    finally:
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    must(process.returncode == 0, "SIGTERM ends the emulator cleanly", process.returncode)
    ok(f"SIGTERM ended it in {time.monotonic() - start:.1f} s")


async def stand_at_door(world: World) -> None:
    """Passes bytes between the place's AWS address and the emulator."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", world.port)
            await asyncio.gather(pass_on(reader, inner_writer), pass_on(inner_reader, writer))

    server = await asyncio.start_server(accept, world.door, world.aws_port)
    await server.serve_forever()


def deploy(world: World, folder: Path) -> dict[str, str]:
    """`sam deploy` of the sample; returns the stack's outputs."""
    build = folder / "sample"
    shutil.copytree(HERE / "sample", build)
    bootstrap = build / "function" / "bootstrap"
    bootstrap.parent.mkdir()
    bootstrap.write_text(f"#!{sys.executable}\n" + (build / "bootstrap.py").read_text())
    bootstrap.chmod(0o755)
    reply = world.client("route53").create_hosted_zone(Name="example.com.", CallerReference="check")
    zone = reply["HostedZone"]["Id"].removeprefix("/hostedzone/")
    world.client("s3").create_bucket(Bucket="check-artifacts", CreateBucketConfiguration={"LocationConstraint": REGION})
    for name, bucket in (("resolved", ["--resolve-s3"]), ("sample", ["--s3-bucket", "check-artifacts"])):
        command = ["sam", "deploy", "--template-file", "template.yaml", "--stack-name", name, "--region", REGION]
        command += [*bucket, "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar"]
        command += ["--parameter-overrides", f"ZoneId={zone}"]
        if name == "resolved":
            # Two stacks may not share records: this one only shows that SAM's own bucket works.
            command += ["--no-execute-changeset"]
        start = time.monotonic()
        done = subprocess.run(command, cwd=build, env=world.environment(), capture_output=True, text=True)
        must(done.returncode == 0, f"sam deploy {bucket[0]}", (done.stdout + done.stderr)[-3000:])
        ok(f"sam deploy {bucket[0]} in {time.monotonic() - start:.1f} s")
    stack = world.client("cloudformation").describe_stacks(StackName="sample")["Stacks"][0]
    must(stack["StackStatus"] == "CREATE_COMPLETE", "the stack is complete", stack["StackStatus"])
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


# ---- the proofs ------------------------------------------------------------------------------


def proves_function_environment(world: World, stack: dict[str, str]) -> None:
    env = world.invoke(stack["Recorder"], {})["environment"]
    expected = {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": f"http://{world.door}:{world.aws_port}",
        "UNDERSTUDY_DNS": world.dns,
    }
    must(expected.items() <= env.items(), "a function has its place's environment", env)
    must(not {"AUTH", "GATEWAY_PORT", "LAMBDA_EXECUTOR"} & env.keys(), "nothing of the emulator leaks", env)
    ok("function environment: endpoint and resolver of its place, right Region, nothing of the emulator")


def proves_function_settings(world: World, stack: dict[str, str]) -> None:
    functions = world.client("lambda")
    reserved = functions.get_function_concurrency(FunctionName=stack["Worker"])
    must(reserved.get("ReservedConcurrentExecutions") == 5, "reserved concurrency", reserved)
    queue = functions.get_function_configuration(FunctionName=stack["Failing"]).get("DeadLetterConfig")
    must(bool(queue), "dead-letter queue of the function", queue)
    config = functions.get_function_event_invoke_config(FunctionName=stack["Failing"], Qualifier="$LATEST")
    must(config["MaximumRetryAttempts"] == 1, "event invoke config", config)
    functions.invoke(FunctionName=stack["Failing"], InvocationType="Event", Payload=b'{"raise": "Bug"}')
    sqs = world.client("sqs")

    def dead() -> Any:
        return sqs.receive_message(QueueUrl=stack["DeadLetters"]).get("Messages")

    _, took = eventually("the dead letter", dead, 20)
    tries = len(world.log(stack["Failing"]))
    must(tries == 2, "MaximumRetryAttempts 1 makes two tries", tries)
    ok(f"reserved concurrency, event invoke config; dead letter after {tries} tries in {took:.1f} s")


def proves_logs(world: World, stack: dict[str, str]) -> None:
    world.invoke(stack["Recorder"], {"mark": "logged"})
    eventually("the log file", lambda: {"mark": "logged"} in world.log(stack["Recorder"]), 5)
    group = f"/aws/lambda/{stack['Recorder']}"

    def in_cloudwatch() -> bool:
        events = world.client("logs").filter_log_events(logGroupName=group)["events"]
        return any('"mark": "logged"' in event["message"] for event in events)

    eventually("CloudWatch Logs", in_cloudwatch, 5)
    ok("logs: in the function's file and in CloudWatch Logs")


def proves_evidence_is_write_once(world: World, stack: dict[str, str]) -> None:
    s3, worker, bucket = world.client("s3"), stack["Worker"], stack["Bucket"]
    lock = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    must(lock["Rule"]["DefaultRetention"] == {"Mode": "COMPLIANCE", "Days": 1}, "object lock of the bucket", lock)
    once = {"Bucket": bucket, "Key": "a", "Body": "x", "IfNoneMatch": "*"}
    answers = [world.refusal(worker, "s3", "put_object", **once) for _ in range(2)]
    must(answers == [None, "PreconditionFailed"], "the second conditional put is refused", answers)
    plain = world.refusal(worker, "s3", "put_object", Bucket=bucket, Key="b", Body="x")
    must(plain == "AccessDenied", "a put without condition is denied", plain)
    gone = world.refusal(worker, "s3", "delete_object", Bucket=bucket, Key="a")
    must(gone == "AccessDenied", "a delete is denied", gone)
    version = s3.list_object_versions(Bucket=bucket)["Versions"][0]["VersionId"]
    locked = world.refusal(worker, "s3", "delete_object", Bucket=bucket, Key="a", VersionId=version)
    must(locked == "AccessDenied", "a locked version cannot be deleted", locked)
    try:
        s3.delete_object(Bucket=bucket, Key="a", VersionId=version)
        raise Failed("root deleted a locked version")
    except ClientError as error:
        must(error.response["Error"]["Code"] == "AccessDenied", "root is refused too", error)
    ok("S3: If-None-Match gives 412, unconditional puts and deletes are denied, Object Lock holds")


def proves_condition_keys(world: World, stack: dict[str, str]) -> None:
    worker = stack["Worker"]

    def metric(namespace: str) -> str | None:
        data = [{"MetricName": "Other", "Value": 1}]
        return world.refusal(worker, "cloudwatch", "put_metric_data", Namespace=namespace, MetricData=data)

    answers = metric("Sample"), metric("Foreign")
    must(answers[0] is None and "AccessDenied" in str(answers[1]), "cloudwatch:namespace", answers)
    statuses = [world.invoke(worker, {"cbor": namespace})["status"] for namespace in ("Sample", "Foreign")]
    must(statuses == [200, 403], "cloudwatch:namespace in CBOR, as the Rust SDK speaks", statuses)

    def item(key: str) -> str | None:
        content = {"pk": {"S": key}, "sk": {"S": "1"}}
        return world.refusal(worker, "dynamodb", "put_item", TableName=stack["Table"], Item=content)

    answers = item("mine"), item("foreign")
    must(answers[0] is None and "AccessDenied" in str(answers[1]), "dynamodb:LeadingKeys of an item", answers)

    def query(key: str) -> str | None:
        return world.refusal(
            worker, "dynamodb", "query", TableName=stack["Table"], KeyConditionExpression="#p = :p AND sk > :s",
            ExpressionAttributeNames={"#p": "pk"},
            ExpressionAttributeValues={":p": {"S": key}, ":s": {"S": "0"}},
        )  # fmt: skip

    answers = query("mine"), query("foreign")
    must(answers[0] is None and "AccessDenied" in str(answers[1]), "dynamodb:LeadingKeys of a query", answers)
    ok("IAM condition keys: s3:if-none-match, cloudwatch:namespace, dynamodb:LeadingKeys")


def proves_least_privilege(world: World, stack: dict[str, str]) -> None:
    answer = world.refusal(stack["Worker"], "sqs", "send_message", QueueUrl=stack["DeadLetters"], MessageBody="x")
    must("AccessDenied" in str(answer), "a call outside the role is denied", answer)
    lines = [json.loads(line) for line in (world.state / "iam.jsonl").read_text().splitlines()]
    seen = {(line["action"], line["allowed"]) for line in lines if "WorkerRole" in (line["role"] or "")}
    expected = {("sqs:SendMessage", False), ("s3:PutObject", True), ("s3:PutObject", False)}
    must(expected <= seen, "the IAM log has the checks of the role", seen)
    ok(f"IAM: a call outside the role is denied; {len(lines)} checks in iam.jsonl")


def proves_signing(world: World, stack: dict[str, str]) -> None:
    def sign(algorithm: str) -> str | None:
        # 32 characters: as long as a digest has to be.
        request = {"KeyId": stack["Key"], "Message": "d" * 32, "MessageType": "DIGEST"}
        return world.refusal(stack["Worker"], "kms", "sign", **request, SigningAlgorithm=algorithm)

    answers = sign("ECDSA_SHA_256"), sign("ECDSA_SHA_384")
    must(answers[0] is None and "AccessDenied" in str(answers[1]), "kms:SigningAlgorithm", answers)
    answer = world.refusal(stack["Worker"], "kms", "get_public_key", KeyId=stack["Key"])
    must("AccessDenied" in str(answer), "a key policy that leaves it to IAM permits nothing by itself", answer)
    alias = world.client("kms").describe_key(KeyId="alias/sample")["KeyMetadata"]["KeyId"]
    must(alias == stack["Key"], "the alias leads to the key", alias)
    ok("KMS signs with the P-256 key, in the algorithm that the role may use")


def proves_schedule(world: World, stack: dict[str, str]) -> None:
    schedule = world.client("scheduler").get_schedule(Name=stack["Tick"])
    must(schedule["ScheduleExpressionTimezone"] == "Europe/Berlin", "time zone of the schedule", schedule)
    target = schedule["Target"]
    must("RetryPolicy" in target and "DeadLetterConfig" in target, "retry policy and queue of the target", target)

    def ticks() -> int:
        return sum("tick" in event for event in world.log(stack["Recorder"]))

    before = ticks()
    _, took = eventually("four ticks", lambda: ticks() >= before + 4, 20)
    must(took >= 2.5 * 60 / SPEED, "ticks are not faster than the speed says", took)
    ok(f"Scheduler: time zone kept; four ticks of rate(1 minute) in {took:.1f} s at speed {SPEED:g}")


def publish_switch(world: World, value: float, plan: str = "sample") -> None:
    data = [{"MetricName": "Switch", "Value": value, "Dimensions": [{"Name": "plan", "Value": plan}]}]
    world.client("cloudwatch").put_metric_data(Namespace="Sample", MetricData=data)


def state_of(world: World, alarm: str) -> str:
    reply = world.client("cloudwatch").describe_alarms(AlarmNames=[alarm], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    return (reply["MetricAlarms"] + reply["CompositeAlarms"])[0]["StateValue"]


def proves_alarms(world: World, stack: dict[str, str]) -> None:
    def rung() -> list[Any]:
        records = [event["Records"][0] for event in world.log(stack["Recorder"]) if "Records" in event]
        messages = [json.loads(record["Sns"]["Message"]) for record in records]
        return [message for message in messages if message["AlarmName"] == stack["Switch"]]

    publish_switch(world, 1, plan="another")
    must(state_of(world, stack["Switch"]) != "ALARM", "another plan's datapoint does not count", "ALARM")
    publish_switch(world, 0)
    must(state_of(world, stack["Switch"]) == "OK", "0 is OK", state_of(world, stack["Switch"]))
    time.sleep(60 / SPEED)  # the period with the 0 in it must be over: the statistic is Minimum
    start = time.monotonic()
    publish_switch(world, 1)
    message, _ = eventually("alarm, SNS, function", rung, 5)
    took = time.monotonic() - start
    must(message[0]["NewStateValue"] == "ALARM" and "AlarmArn" in message[0], "the alarm's message", message)
    publish_switch(world, 0)
    must(state_of(world, stack["Switch"]) == "OK", "a rogue 1 cannot beat our 0", state_of(world, stack["Switch"]))
    must(len(rung()) == 1, "the filter policy lets ALARM through only", rung())
    kept = [json.loads(line) for line in (world.state / "notifications.jsonl").read_text().splitlines()]
    answered = [line for line in kept if line["function"] == stack["Recorder"] and not line["failed"]]
    must(bool(answered) and "environment" in answered[-1]["answer"], "the answer to a notification is kept", kept)
    ok(f"alarm to SNS to function in {took:.2f} s; dimensions, Minimum and filter policy hold")


def proves_silence(world: World, stack: dict[str, str]) -> None:
    beat = [{"MetricName": "Heartbeat", "Value": 1}]
    metrics = world.client("cloudwatch")

    def beats() -> bool:
        metrics.put_metric_data(Namespace="Sample", MetricData=beat)
        return state_of(world, stack["Silence"]) == "OK"

    eventually("OK while it beats", beats, 20)
    publish_switch(world, 0)
    _, took = eventually("ALARM by silence", lambda: state_of(world, stack["Silence"]) == "ALARM", 30)
    must(state_of(world, stack["Switch"]) == "OK", "`ignore` keeps its state", state_of(world, stack["Switch"]))
    time.sleep(60 / SPEED)
    publish_switch(world, 1)
    eventually("the composite alarm", lambda: state_of(world, stack["Both"]) == "ALARM", 5)
    ok(f"missing data: breaching rings {took:.1f} s after the last beat, ignore holds; composite rings")


def run(world: World, stack: dict[str, str], given: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """One execution to its end, and how long that took."""
    machine = world.client("stepfunctions")
    arn = machine.start_execution(stateMachineArn=stack["Machine"], input=json.dumps(given))["executionArn"]

    def ended() -> Any:
        state = machine.describe_execution(executionArn=arn)
        return state if state["status"] != "RUNNING" else None

    return eventually("the execution's end", ended, 20)


def proves_missing_data_rules(_world: World, _stack: dict[str, str]) -> None:
    """The tables of the CloudWatch user guide, oldest period first: X breaches, 0 does not, - is missing."""
    from alarms import decide

    table = (
        # periods, needed, of; then: missing, ignore, breaching, notBreaching
        ("0-X-X", 3, 3, "OK", "OK", "OK", "OK"),
        ("0----", 3, 3, "OK", "OK", "OK", "OK"),
        ("-----", 3, 3, "INSUFFICIENT_DATA", None, "ALARM", "OK"),
        ("0XX-X", 3, 3, "ALARM", "ALARM", "ALARM", "ALARM"),
        ("--X--", 3, 3, "ALARM", None, "ALARM", "OK"),
        ("0-X-X", 2, 3, "ALARM", "ALARM", "ALARM", "ALARM"),
        ("00X0X", 2, 3, "ALARM", "ALARM", "ALARM", "ALARM"),
        ("0-X--", 2, 3, "OK", "OK", "ALARM", "OK"),
        ("----0", 2, 3, "OK", "OK", "ALARM", "OK"),
        ("---X-", 2, 3, "ALARM", None, "ALARM", "OK"),
    )
    meaning = {"X": True, "0": False, "-": None}
    for periods, needed, of, *expected in table:
        breaches = [meaning[letter] for letter in reversed(periods)]
        seen = [decide(breaches, needed, of, rule) for rule in ("missing", "ignore", "breaching", "notBreaching")]
        must(seen == expected, f"{periods} {needed} of {of}", seen)
    ok(f"missing data: {len(table)} rows of the user guide's tables")


def proves_workflow(world: World, stack: dict[str, str]) -> None:
    done, took = run(world, stack, {"road": "on", "wait": 0.4, "limit": 0.6})
    must(done["status"] == "SUCCEEDED", "the workflow succeeds", done)
    output = json.loads(done["output"])
    seen = [output.get(state, {}).get("Error") for state in ("slow", "flaky", "callback")]
    must(seen == ["States.Timeout", "Transient", "Bug"], "time limit, retried and caught error, failed callback", seen)
    must(took < 5, "fractions of seconds are kept", took)
    ok(f"workflow: SecondsPath 0.4, TimeoutSecondsPath 0.6, Retry, Catch by error type, callback ({took:.1f} s)")


def proves_ends_are_told(world: World, stack: dict[str, str]) -> None:
    failed, _ = run(world, stack, {"road": "fail"})
    timed_out, took = run(world, stack, {"road": "hang"})
    machine = world.client("stepfunctions")
    aborted = machine.start_execution(stateMachineArn=stack["Machine"], input='{"road": "hang"}')["executionArn"]
    machine.stop_execution(executionArn=aborted)
    states = [failed["status"], timed_out["status"]]
    must(states == ["FAILED", "TIMED_OUT"], "failed and timed out", states)

    def told() -> set[str]:
        events = [event for event in world.log(stack["Recorder"]) if event.get("source") == "aws.states"]
        return {event["detail"]["status"] for event in events}

    eventually("the rule's events", lambda: told() == {"FAILED", "TIMED_OUT", "ABORTED"}, 5)
    ok(f"executions: FAILED, TIMED_OUT (after {took:.1f} s) and ABORTED reach the function by the rule")


def proves_names(world: World, stack: dict[str, str]) -> None:
    route53 = world.client("route53")
    check = route53.get_health_check(HealthCheckId=stack["SwitchCheck"])["HealthCheck"]["HealthCheckConfig"]
    must(check["AlarmIdentifier"] == {"Region": REGION, "Name": stack["Switch"]}, "the health check's alarm", check)
    zone = route53.list_hosted_zones()["HostedZones"][0]["Id"]
    records = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    pair = {record["Failover"]: record for record in records if record.get("Failover")}
    must(pair["PRIMARY"]["HealthCheckId"] == stack["SwitchCheck"], "the failover pair", records)
    must(any(record["Name"] == "plain.example.com." for record in records), "the plain record", records)
    ok("Route 53: health check on the alarm, failover pair, plain record")


PROOFS = (
    proves_function_environment,
    proves_function_settings,
    proves_logs,
    proves_evidence_is_write_once,
    proves_condition_keys,
    proves_least_privilege,
    proves_signing,
    proves_schedule,
    proves_alarms,
    proves_silence,
    proves_missing_data_rules,
    proves_workflow,
    proves_ends_are_told,
    proves_names,
)


def proves_roles_are_kept(world: World) -> None:
    """What `audit` judges by is written when the emulator ends."""
    roles = json.loads((world.state / "roles.json").read_text())
    by_resource = {role["resource"]: role for role in roles if role["stack"] == "sample"}
    worker = by_resource.get("WorkerRole")
    must(worker is not None and len(worker["functions"]) == 1, "the worker's role is kept", roles)
    statements = worker["policies"][0]["document"]["Statement"]
    must(any("dynamodb:LeadingKeys" in json.dumps(one) for one in statements), "its policy is kept", statements)
    ok(f"roles.json: {len(roles)} roles with their functions and policies")


def proves_nothing_left(world: World) -> None:
    left = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(int(entry.name)) == world.pid:
                    left.append(entry.name)
    must(not left, "no process is left", left)
    ok("no process of the emulator is left")


if __name__ == "__main__":
    sys.exit(main())
