//! Every question about a deployment: a healthy one passes all of them, each planted fault is found by its own,
//! and what could not be read is never good.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use understudy_core::checks::{Finding, Grade, Verdict};
use understudy_core::live::{
    Deployment, Follows, Half, HealthCheck, HeldSecret, Instance, LiveFunction, LiveRoute, LiveStore,
    LiveTransaction, MetricAlarm, QUESTIONS, RecordSet, all_functions, findings, stuck,
};
use understudy_core::observed::Observed;
use understudy_core::plan::{Plan, read};
use understudy_core::ports::{HttpAnswer, Role};
use understudy_core::steps::assess::Readiness;
use understudy_core::time::{Millis, before};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
const ROLES: [Role; 3] = [Role::Standby, Role::Primary, Role::Witness];

fn plan() -> Plan {
    let text = include_str!("../../../tests/plans/minute-ticks.yaml");
    read("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn known<T>(value: T) -> Observed<T> {
    Observed::known(value, "a test", NOW)
}

fn record(kind: &str, half: Half, value: &str, health_check: Option<&str>) -> RecordSet {
    RecordSet {
        kind: kind.to_owned(),
        half: Some(half),
        ttl_seconds: Some(60),
        health_check: health_check.map(str::to_owned),
        values: vec![value.to_owned()],
        evaluates_target: None,
    }
}

fn check(follows: Follows) -> Observed<Option<HealthCheck>> {
    known(Some(HealthCheck { follows, inverted: false, disabled: false }))
}

fn route() -> LiveRoute {
    let switch = Follows::Alarm {
        name: "understudy-financial-rag-switch".to_owned(),
        region: "us-west-2".to_owned(),
        without_data: "LastKnownStatus".to_owned(),
    };
    let endpoint = Follows::Endpoint { host: "primary.rag.example.com".to_owned() };
    LiveRoute {
        route: "api".to_owned(),
        public: known(vec![
            record("CNAME", Half::Primary, "primary.rag.example.com.", Some("switch")),
            record("CNAME", Half::Secondary, "Standby.rag.example.com", None),
        ]),
        verdict: known(vec![
            record("TXT", Half::Primary, "\"up\"", Some("endpoint")),
            record("TXT", Half::Secondary, "\"down\"", None),
        ]),
        checks: vec![("switch".to_owned(), check(switch)), ("endpoint".to_owned(), check(endpoint))],
    }
}

fn alarm() -> MetricAlarm {
    MetricAlarm {
        metric: "Understudy/Switch".to_owned(),
        dimensions: vec![("Plan".to_owned(), "financial-rag".to_owned())],
        statistic: "Minimum".to_owned(),
        comparison: "GreaterThanOrEqualToThreshold".to_owned(),
        threshold: 1.0,
        evaluation_periods: 1,
        period_seconds: 60,
    }
}

fn instance(source: Option<&str>) -> Instance {
    let plan = plan();
    let store = plan.stores.first().expect("a store");
    let own = if source.is_some() { &store.standby } else { &store.primary };
    Instance {
        endpoint: Some((own.host.clone(), own.port)),
        status: "available".to_owned(),
        source: source.map(str::to_owned),
        backup_retention_days: Some(7),
        iam_authentication: Some(true),
        replication: source.map(|_| "replicating".to_owned()),
        engine_version: Some("16.11".to_owned()),
    }
}

/// A deployment of which nothing is to be said.
fn healthy() -> Deployment {
    let stack = |role| {
        all_functions(role).iter().map(move |function| LiveFunction {
            role,
            function,
            state: known(Some("Active".to_owned())),
        })
    };
    let passed = Finding {
        id: "PF-03".to_owned(),
        subject: "metadata".to_owned(),
        grade: Grade::Pass,
        evidence: "it answers".to_owned(),
        fix: String::new(),
        overridden: None,
    };
    Deployment {
        at: NOW,
        routes: vec![route()],
        switch_alarm: known(Some(alarm())),
        stores: vec![LiveStore {
            store: "metadata".to_owned(),
            primary: known(Some(instance(None))),
            standby: known(Some(instance(Some("arn:aws:rds:us-east-1:123456789012:db:financial-rag")))),
            secret: known(Some(HeldSecret { leaves_on: None })),
        }],
        functions: ROLES.into_iter().flat_map(stack).collect(),
        concurrency: known(990),
        transactions: vec![LiveTransaction {
            route: "api".to_owned(),
            primary: HttpAnswer::Status(201),
            standby: HttpAnswer::Status(405),
        }],
        readiness: known(Some(Readiness {
            unfit: None,
            at: before(NOW, Millis::from_secs(180)),
            verdict: Verdict::Ready,
            findings: vec![passed],
        })),
    }
}

/// What a change of the healthy deployment makes of it: the findings that need somebody.
fn told(change: impl FnOnce(&mut Deployment)) -> Vec<(String, Grade)> {
    let mut seen = healthy();
    change(&mut seen);
    let needing = findings(&plan(), &seen).into_iter().filter(|finding| finding.grade != Grade::Pass);
    let needing: Vec<Finding> = needing.collect();
    for finding in &needing {
        assert!(!finding.evidence.is_empty() && !finding.fix.is_empty(), "{finding:?}");
    }
    needing.into_iter().map(|finding| (finding.id, finding.grade)).collect()
}

fn one(id: &str, grade: Grade) -> Vec<(String, Grade)> {
    vec![(id.to_owned(), grade)]
}

fn known_mut<T>(seen: &mut Observed<T>) -> &mut T {
    let Observed::Known { value, .. } = seen else { panic!("unknown") };
    value
}

fn live_route(seen: &mut Deployment) -> &mut LiveRoute {
    seen.routes.first_mut().expect("a route")
}

fn public(seen: &mut Deployment, half: Half) -> &mut RecordSet {
    let sets = known_mut(&mut live_route(seen).public);
    sets.iter_mut().find(|set| set.half == Some(half)).expect("the half")
}

fn health_check<'a>(seen: &'a mut Deployment, id: &str) -> &'a mut HealthCheck {
    let checks = &mut live_route(seen).checks;
    let (_, found) = checks.iter_mut().find(|(known, _)| known == id).expect("the check");
    known_mut(found).as_mut().expect("a health check")
}

fn store(seen: &mut Deployment) -> &mut LiveStore {
    seen.stores.first_mut().expect("a store")
}

fn replica(seen: &mut Deployment) -> &mut Instance {
    known_mut(&mut store(seen).standby).as_mut().expect("an instance")
}

fn primary(seen: &mut Deployment) -> &mut Instance {
    known_mut(&mut store(seen).primary).as_mut().expect("an instance")
}

#[test]
fn a_healthy_deployment_answers_every_question() {
    let all = findings(&plan(), &healthy());
    assert!(all.iter().all(|finding| finding.grade == Grade::Pass), "{all:#?}");
    let answered: BTreeSet<&str> = all.iter().map(|finding| finding.id.as_str()).collect();
    let asked: BTreeSet<&str> = QUESTIONS.iter().map(|row| row.id).chain(["PF-03"]).collect();
    assert_eq!(answered, asked);
}

#[test]
fn ids_are_not_used_twice() {
    let ids: BTreeSet<&str> = QUESTIONS.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), QUESTIONS.len());
}

#[test]
fn records_that_are_no_pair_are_found() {
    let block = || one("LV-01", Grade::Block);
    assert_eq!(told(|seen| known_mut(&mut live_route(seen).public).clear()), block());
    let third = record("CNAME", Half::Primary, "elsewhere.example.com", Some("switch"));
    assert_eq!(told(|seen| known_mut(&mut live_route(seen).public).push(third)), block());
    assert_eq!(told(|seen| public(seen, Half::Secondary).kind = "A".to_owned()), block());
    assert_eq!(
        told(|seen| {
            let sets = known_mut(&mut live_route(seen).public);
            sets.truncate(1);
            for set in sets.iter_mut() {
                set.half = None;
            }
        }),
        block()
    );
}

#[test]
fn primary_hangs_on_the_switch_and_nothing_else() {
    let block = || one("LV-02", Grade::Block);
    assert_eq!(told(|seen| public(seen, Half::Primary).health_check = None), block());
    assert_eq!(told(|seen| public(seen, Half::Primary).health_check = Some("endpoint".to_owned())), block());
    assert_eq!(told(|seen| health_check(seen, "switch").inverted = true), block());
    assert_eq!(told(|seen| health_check(seen, "switch").disabled = true), block());
    for (name, region, without_data) in [
        ("understudy-other-switch", "us-west-2", "LastKnownStatus"),
        ("understudy-financial-rag-switch", "us-east-1", "LastKnownStatus"),
        ("understudy-financial-rag-switch", "us-west-2", "Unhealthy"),
    ] {
        let follows = Follows::Alarm {
            name: name.to_owned(),
            region: region.to_owned(),
            without_data: without_data.to_owned(),
        };
        assert_eq!(told(|seen| health_check(seen, "switch").follows = follows), block());
    }
    let other = Follows::Other("CALCULATED".to_owned());
    assert_eq!(told(|seen| health_check(seen, "switch").follows = other), block());
    assert_eq!(
        told(|seen| live_route(seen).checks.retain(|(id, _)| id != "switch")),
        one("LV-02", Grade::Unknown)
    );
    let gone = |seen: &mut Deployment| {
        live_route(seen)
            .checks
            .iter_mut()
            .filter(|(id, _)| id == "switch")
            .for_each(|(_, c)| *c = known(None));
    };
    assert_eq!(told(gone), block());
}

#[test]
fn nothing_else_moves_clients() {
    let checked =
        |seen: &mut Deployment| public(seen, Half::Secondary).health_check = Some("endpoint".to_owned());
    assert_eq!(told(checked), one("LV-03", Grade::Block));
    for half in [Half::Primary, Half::Secondary] {
        assert_eq!(told(|seen| public(seen, half).evaluates_target = Some(true)), one("LV-04", Grade::Block));
        assert_eq!(told(|seen| public(seen, half).evaluates_target = Some(false)), []);
    }
}

#[test]
fn the_records_are_the_plans() {
    assert_eq!(told(|seen| public(seen, Half::Primary).ttl_seconds = Some(300)), one("LV-05", Grade::Block));
    assert_eq!(told(|seen| public(seen, Half::Primary).ttl_seconds = None), one("LV-05", Grade::Warn));
    let elsewhere =
        |seen: &mut Deployment| public(seen, Half::Primary).values = vec!["lb.example.com".to_owned()];
    assert_eq!(told(elsewhere), one("LV-06", Grade::Warn));
    let crossed = |seen: &mut Deployment| {
        public(seen, Half::Secondary).values = vec!["primary.rag.example.com".to_owned()];
    };
    assert_eq!(told(crossed), one("LV-06", Grade::Block));
}

#[test]
fn the_verdict_is_told_by_dns() {
    let verdict = |seen: &mut Deployment, change: fn(&mut Vec<RecordSet>)| {
        change(known_mut(&mut live_route(seen).verdict));
    };
    let block = || one("LV-07", Grade::Block);
    assert_eq!(told(|seen| verdict(seen, Vec::clear)), block());
    assert_eq!(told(|seen| verdict(seen, |sets| sets.reverse())), []);
    let turned =
        |sets: &mut Vec<RecordSet>| sets.iter_mut().for_each(|set| set.values = vec!["\"up\"".to_owned()]);
    assert_eq!(told(|seen| verdict(seen, turned)), block());
    let on_the_switch = |sets: &mut Vec<RecordSet>| {
        sets.iter_mut().filter(|set| set.half == Some(Half::Primary)).for_each(|set| {
            set.health_check = Some("switch".to_owned());
        });
    };
    assert_eq!(told(|seen| verdict(seen, on_the_switch)), block());
    let standby = Follows::Endpoint { host: "standby.rag.example.com".to_owned() };
    assert_eq!(told(|seen| health_check(seen, "endpoint").follows = standby), block());
}

#[test]
fn the_databases_are_a_pair() {
    assert_eq!(told(|seen| store(seen).standby = known(None)), one("LV-11", Grade::Block));
    assert_eq!(told(|seen| primary(seen).status = "stopped".to_owned()), one("LV-11", Grade::Block));
    for source in [
        "arn:aws:rds:us-east-1:123456789012:db:other",
        "arn:aws:rds:eu-west-1:123456789012:db:financial-rag",
        "financial-rag",
    ] {
        assert_eq!(told(|seen| replica(seen).source = Some(source.to_owned())), one("LV-12", Grade::Block));
    }
    assert_eq!(told(|seen| replica(seen).source = None), one("LV-12", Grade::Block));
    let turned = |seen: &mut Deployment| primary(seen).source = Some("financial-rag-replica".to_owned());
    assert_eq!(told(turned), one("LV-12", Grade::Block));
    assert_eq!(told(|seen| replica(seen).replication = Some("error".to_owned())), one("LV-13", Grade::Block));
    assert_eq!(told(|seen| replica(seen).replication = None), one("LV-13", Grade::Unknown));
    for side in [replica, primary] {
        assert_eq!(told(|seen| side(seen).backup_retention_days = Some(0)), one("LV-14", Grade::Block));
        assert_eq!(told(|seen| side(seen).backup_retention_days = None), one("LV-14", Grade::Unknown));
        assert_eq!(told(|seen| side(seen).iam_authentication = Some(false)), one("LV-15", Grade::Block));
        assert_eq!(told(|seen| side(seen).iam_authentication = None), one("LV-15", Grade::Unknown));
    }
}

/// An alias resolves as well, and then its certificate does not fit.
#[test]
fn instances_are_named_by_their_own_endpoints() {
    for side in [replica, primary] {
        let is = |endpoint: Option<(&'static str, u16)>| {
            told(move |seen| {
                side(seen).endpoint = endpoint.map(|(host, port)| (host.to_owned(), port));
            })
        };
        assert_eq!(is(Some(("db.example.com", 5432))), one("LV-17", Grade::Block));
        assert_eq!(is(None), one("LV-17", Grade::Unknown));
        let elsewhere = |seen: &mut Deployment| side(seen).endpoint.as_mut().expect("an endpoint").1 = 6432;
        assert_eq!(told(elsewhere), one("LV-17", Grade::Block));
    }
}

#[test]
fn the_release_takes_inserts_after_a_promotion() {
    let is = |side: fn(&mut Deployment) -> &mut Instance, version: Option<&'static str>| {
        told(move |seen| side(seen).engine_version = version.map(str::to_owned))
    };
    for side in [replica, primary] {
        for unsound in ["16.2", "15.6", "14.11", "13.20", "16.2-rds.20240101"] {
            assert_eq!(is(side, Some(unsound)), one("LV-16", Grade::Block), "{unsound}");
        }
        for sound in ["16.3", "15.7-rds.20240509", "14.12", "17.0", "18.4"] {
            assert_eq!(is(side, Some(sound)), [], "{sound}");
        }
        for unread in [None, Some("16"), Some("sixteen.two"), Some("16.")] {
            assert_eq!(is(side, unread), one("LV-16", Grade::Unknown), "{unread:?}");
        }
    }
}

#[test]
fn an_optional_store_only_warns() {
    let mut plan = plan();
    plan.stores.iter_mut().for_each(|store| store.required = false);
    let mut seen = healthy();
    store(&mut seen).standby = known(None);
    let found = findings(&plan, &seen).into_iter().find(|finding| finding.grade != Grade::Pass);
    assert_eq!(found.map(|finding| (finding.id, finding.grade)), Some(("LV-11".to_owned(), Grade::Warn)));
}

#[test]
fn the_login_is_there() {
    assert_eq!(told(|seen| store(seen).secret = known(None)), one("LV-21", Grade::Block));
    let leaving = HeldSecret { leaves_on: Some("2026-12-01".to_owned()) };
    assert_eq!(told(|seen| store(seen).secret = known(Some(leaving))), one("LV-21", Grade::Block));
}

#[test]
fn every_region_has_its_functions() {
    for role in ROLES {
        let of_role = move |seen: &mut Deployment, state: Observed<Option<String>>| {
            seen.functions
                .iter_mut()
                .filter(|one| one.role == role)
                .for_each(|one| one.state = state.clone());
        };
        assert_eq!(told(|seen| of_role(seen, known(None))), one("LV-31", Grade::Block));
        let inactive = known(Some("Inactive".to_owned()));
        assert_eq!(told(|seen| of_role(seen, inactive)), one("LV-31", Grade::Block));
        assert_eq!(told(|seen| of_role(seen, Observed::unknown("no"))), one("LV-31", Grade::Unknown));
        assert_eq!(told(|seen| seen.functions.retain(|one| one.role != role)), one("LV-31", Grade::Unknown));
    }
}

#[test]
fn readiness_is_fresh_or_unknown() {
    assert_eq!(told(|seen| seen.readiness = known(None)), one("LV-41", Grade::Unknown));
    let newest = |seen: &mut Deployment, change: fn(&mut Readiness)| {
        change(known_mut(&mut seen.readiness).as_mut().expect("a look"));
    };
    let stale = told(|seen| newest(seen, |look| look.at = before(NOW, Millis::from_secs(181))));
    assert_eq!(stale, one("LV-41", Grade::Unknown));
    let blocking = |look: &mut Readiness| {
        look.findings.iter_mut().for_each(|finding| {
            finding.grade = Grade::Block;
            "resume the replay".clone_into(&mut finding.fix);
        });
    };
    assert_eq!(told(|seen| newest(seen, blocking)), one("PF-03", Grade::Block));
}

#[test]
fn what_could_not_be_read_is_never_good() {
    let reason = || "no permission".to_owned();
    let dark = Deployment {
        at: NOW,
        routes: vec![LiveRoute {
            route: "api".to_owned(),
            public: Observed::unknown(reason()),
            verdict: Observed::unknown(reason()),
            checks: Vec::new(),
        }],
        stores: vec![LiveStore {
            store: "metadata".to_owned(),
            primary: Observed::unknown(reason()),
            standby: Observed::unknown(reason()),
            secret: Observed::unknown(reason()),
        }],
        functions: Vec::new(),
        switch_alarm: Observed::unknown(reason()),
        concurrency: Observed::unknown(reason()),
        transactions: Vec::new(),
        readiness: Observed::unknown(reason()),
    };
    for seen in [dark.clone(), Deployment { routes: Vec::new(), stores: Vec::new(), ..dark }] {
        let all = findings(&plan(), &seen);
        assert!(all.iter().all(|finding| finding.grade == Grade::Unknown), "{all:#?}");
        let ids: BTreeSet<&str> = all.iter().map(|finding| finding.id.as_str()).collect();
        for id in ["LV-01", "LV-08", "LV-11", "LV-21", "LV-31", "LV-32", "LV-41"] {
            assert!(ids.contains(id), "{id} says nothing");
        }
    }
}

/// Which roles a function's condition in the template gives it.
fn roles_of(condition: &str) -> &'static [Role] {
    match condition {
        "IsStandby" | "HasFastSwitch" => &[Role::Standby],
        "IsPrimary" => &[Role::Primary],
        "IsWitness" => &[Role::Witness],
        "HasTable" => &[Role::Standby, Role::Witness],
        "HasDatabase" => &[Role::Standby, Role::Primary],
        other => panic!("condition `{other}`: say here which roles it means"),
    }
}

#[test]
fn the_template_deploys_these_functions() {
    let template = include_str!("../../../template.yaml");
    let mut deployed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let (mut function, mut condition) = (false, "");
    for line in template.lines() {
        if let Some(kind) = line.strip_prefix("    Type: ") {
            function = kind == "AWS::Serverless::Function";
        }
        if let Some(named) = line.strip_prefix("    Condition: ") {
            condition = named;
        }
        if let Some(name) =
            line.trim().strip_prefix("FunctionName: !Sub understudy-${Plan}-").filter(|_| function)
        {
            for role in roles_of(condition) {
                deployed.entry(name_of(*role)).or_default().insert(name);
            }
        }
    }
    for role in ROLES {
        let ours: BTreeSet<&str> = all_functions(role).iter().copied().collect();
        assert_eq!(deployed.get(name_of(role)), Some(&ours), "{role:?}");
    }
}

fn name_of(role: Role) -> &'static str {
    match role {
        Role::Standby => "standby",
        Role::Primary => "primary",
        Role::Witness => "witness",
    }
}

/// PRIMARY hangs on a check that counts the metric's and the endpoint's.
#[test]
fn a_fast_switch_is_the_metric_and_its_endpoint_together() {
    let fast = |children: [&str; 2], threshold, inverted| {
        let mut seen = healthy();
        let live = seen.routes.first_mut().expect("a route");
        live.public = known(vec![
            record("CNAME", Half::Primary, "primary.rag.example.com.", Some("both")),
            record("CNAME", Half::Secondary, "standby.rag.example.com", None),
        ]);
        let children = children.map(str::to_owned).to_vec();
        live.checks.push(("both".to_owned(), check(Follows::Calculated { children, threshold })));
        let follows = Follows::Endpoint { host: "x.lambda-url.us-west-2.on.aws".to_owned() };
        let endpoint = HealthCheck { follows, inverted, disabled: false };
        live.checks.push(("told".to_owned(), known(Some(endpoint))));
        let found = findings(&plan(), &seen);
        found.into_iter().find(|finding| finding.id == "LV-02").map(|finding| finding.grade)
    };
    assert_eq!(fast(["switch", "told"], 2, true), Some(Grade::Pass));
    assert_eq!(fast(["switch", "told"], 1, true), Some(Grade::Block), "one of the two would do");
    assert_eq!(
        fast(["switch", "told"], 2, false),
        Some(Grade::Block),
        "it would leave clients where they are for ever"
    );
    assert_eq!(fast(["told", "told"], 2, true), Some(Grade::Block), "nothing holds the metric");
    assert_eq!(fast(["switch", "gone"], 2, true), Some(Grade::Unknown), "what was not looked at");
}

#[test]
fn an_alarm_that_the_switch_cannot_follow_is_found() {
    let block = || one("LV-08", Grade::Block);
    assert_eq!(told(|seen| *known_mut(&mut seen.switch_alarm) = None), block());
    let spoiled: [fn(&mut MetricAlarm); 7] = [
        |alarm| alarm.metric = "Understudy/PrimaryHealthy".to_owned(),
        |alarm| alarm.dimensions.clear(),
        // A rogue 1 would beat our own 0.
        |alarm| alarm.statistic = "Maximum".to_owned(),
        |alarm| alarm.comparison = "LessThanThreshold".to_owned(),
        |alarm| alarm.threshold = 2.0,
        |alarm| alarm.evaluation_periods = 3,
        |alarm| alarm.period_seconds = 300,
    ];
    for spoil in spoiled {
        assert_eq!(told(|seen| known_mut(&mut seen.switch_alarm).iter_mut().for_each(spoil)), block());
    }
    let dark = told(|seen| seen.switch_alarm = Observed::unknown("denied"));
    assert_eq!(dark, one("LV-08", Grade::Unknown));
}

#[test]
fn invocations_that_others_may_take_are_counted() {
    for (left, wanted) in [
        (990, None),
        (100, None),
        (99, Some(Grade::Warn)),
        (11, Some(Grade::Warn)),
        (9, Some(Grade::Block)),
        (0, Some(Grade::Block)),
    ] {
        let told = told(|seen| seen.concurrency = known(left));
        assert_eq!(told, wanted.map(|grade| one("LV-32", grade)).unwrap_or_default(), "{left}");
    }
    assert_eq!(told(|seen| seen.concurrency = Observed::unknown("denied")), one("LV-32", Grade::Unknown));
}

/// A wrong path is found before a failover, and not behind its one-way door.
#[test]
fn a_transaction_that_nobody_takes_is_found() {
    let tried = |primary, standby| {
        told(|seen| {
            let tried = seen.transactions.first_mut().expect("it was tried");
            (tried.primary, tried.standby) = (primary, standby);
        })
    };
    let (good, away) = (HttpAnswer::Status(201), HttpAnswer::Failed("timed out".to_owned()));
    assert_eq!(tried(HttpAnswer::Status(404), HttpAnswer::Status(405)), one("LV-51", Grade::Block));
    assert_eq!(tried(HttpAnswer::Status(302), HttpAnswer::Status(405)), one("LV-51", Grade::Block));
    assert_eq!(tried(away.clone(), HttpAnswer::Status(405)), one("LV-51", Grade::Unknown));
    assert_eq!(tried(good.clone(), HttpAnswer::Status(404)), one("LV-52", Grade::Warn));
    assert_eq!(tried(good, away), one("LV-52", Grade::Unknown));
    assert_eq!(told(|seen| seen.transactions.clear()), [], "nobody asked for one");
}

/// What holds a name where it is, and what does not: a refusal of a failover rests on it.
#[test]
fn only_what_is_certain_holds_a_name() {
    let stuck = |change: &dyn Fn(&mut Deployment)| {
        let mut seen = healthy();
        change(&mut seen);
        stuck(&plan(), &seen).len()
    };
    assert_eq!(stuck(&|_| {}), 0);
    let holds: [&dyn Fn(&mut Deployment); 9] = [
        &|seen| *known_mut(&mut seen.switch_alarm) = None,
        &|seen| {
            if let Some(alarm) = known_mut(&mut seen.switch_alarm) {
                alarm.statistic = "Maximum".to_owned();
            }
        },
        &|seen| known_mut(&mut live_route(seen).public).clear(),
        &|seen| public(seen, Half::Primary).health_check = None,
        &|seen| public(seen, Half::Primary).health_check = Some("endpoint".to_owned()),
        &|seen| health_check(seen, "switch").disabled = true,
        &|seen| health_check(seen, "switch").inverted = true,
        &|seen| public(seen, Half::Secondary).half = None,
        &|seen| {
            let (one, other) = ("primary.rag.example.com", "standby.rag.example.com");
            public(seen, Half::Primary).values = vec![other.to_owned()];
            public(seen, Half::Secondary).values = vec![one.to_owned()];
        },
    ];
    for (number, holds) in holds.iter().enumerate() {
        assert_eq!(stuck(holds), 1, "{number}");
    }
    let moves: [&dyn Fn(&mut Deployment); 6] = [
        // What else stands under the name, as at the apex of a zone.
        &|seen| {
            let other = RecordSet {
                kind: "NS".to_owned(),
                half: None,
                health_check: None,
                ..public(seen, Half::Secondary).clone()
            };
            known_mut(&mut live_route(seen).public).push(other);
        },
        &|seen| public(seen, Half::Secondary).health_check = Some("endpoint".to_owned()),
        &|seen| public(seen, Half::Primary).ttl_seconds = Some(300),
        &|seen| seen.switch_alarm = Observed::unknown("denied"),
        &|seen| live_route(seen).checks.clear(),
        &|seen| live_route(seen).public = Observed::unknown("denied"),
    ];
    for (number, moves) in moves.iter().enumerate() {
        assert_eq!(stuck(moves), 0, "{number}");
    }
}
