//! A night: everything that a seed decides about one world, as data, so that parts of it can be left out.

use crate::asl::Machine;
use crate::example;
use crate::functions::Function;
use crate::seed::Chance;
use crate::simulation::{People, Simulation};
use crate::world::{Break, Deployed, Place, Settings, Trouble};
use serde_json::{Value, json};
use understudy_core::handler::OpenRuns;
use understudy_core::plan::{Mode, OnLeaseLoss, Plan, Problems};
use understudy_core::state::{Category, keys};
use understudy_core::time::Millis;

/// The plan under which a night is lived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Armed, and nobody is asked.
    Automatic,
    /// Armed, and people are asked.
    Asks,
    /// The same, and two of them must say yes.
    AsksTwo,
    /// Armed, and people are asked while the market is open, which it is soon after dawn.
    Sessions,
    /// As the plan ships: nothing fences by itself, and people are asked for both.
    Stays,
    /// Two Regions only.
    NoWitness,
    /// The rehearsal environment.
    Rehearsal,
}

/// The plans of all variants, read once: those that look at their ticks, and those that look between them, too.
pub struct Plans {
    ticks: [Deployed; 7],
    looks: [Deployed; 7],
}

impl Plans {
    pub fn read() -> Result<Self, Problems> {
        Ok(Self { ticks: Self::of_all(&example::plan()?), looks: Self::of_all(&example::shipped()?) })
    }

    fn of_all(plan: &Plan) -> [Deployed; 7] {
        let armed = example::in_no_hands(plan.clone());
        let mut asks = armed.clone();
        asks.policy.failover = Mode::Approval;
        let mut two = asks.clone();
        two.policy.approvals = 2;
        let mut stays = asks.clone();
        stays.lease.on_loss = OnLeaseLoss::Stay;
        let mut alone = armed.clone();
        alone.regions.witness = None;
        let rehearsal = plan.rehearsal().map_or_else(|| armed.clone(), example::in_no_hands);
        let sessions = example::opens_soon(plan.clone());
        [armed, asks, two, sessions, stays, alone, rehearsal].map(Deployed::from)
    }

    /// `looks`: between the ticks, too.
    pub fn of(&self, variant: Variant, looks: bool) -> Deployed {
        let all = if looks { &self.looks } else { &self.ticks };
        let [automatic, asks, two, sessions, stays, alone, rehearsal] = all;
        match variant {
            Variant::Automatic => automatic,
            Variant::Asks => asks,
            Variant::AsksTwo => two,
            Variant::Sessions => sessions,
            Variant::Stays => stays,
            Variant::NoWitness => alone,
            Variant::Rehearsal => rehearsal,
        }
        .clone()
    }
}

/// What a person does in the night, beside answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Asks(&'static str),
    Drills,
    AlarmComes,
    /// A person overrides that check for so long.
    Overrides(&'static str, Millis),
    /// A person declares what never promotes.
    Declares(Category),
}

/// What people do about an execution that stopped half-way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfWay {
    /// Nothing, all night.
    Left,
    /// They follow the runbook: once while it is still broken, and once all is well.
    Continued,
}

impl HalfWay {
    fn of(seed: u64) -> Self {
        if Chance::new(seed ^ 0x60E5_0000).happens(500) { Self::Continued } else { Self::Left }
    }
}

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long after dawn.
    At(Millis),
    /// So long after the first entry into that state of the workflow.
    In(&'static str, Millis),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Night {
    pub seed: u64,
    pub variant: Variant,
    pub settings: Settings,
    pub people: People,
    pub twice_permille: u64,
    pub lost_permille: u64,
    pub ticks_anywhere: bool,
    /// The plan looks between its ticks, too.
    pub looks: bool,
    /// Its looks came for long when the night begins.
    pub settled: bool,
    /// How a promotion goes on: unnoticed, modifying, rebooting; milliseconds.
    pub course: (i64, i64, i64),
    pub breaks: Vec<(When, Break)>,
    pub deeds: Vec<(Millis, Deed)>,
    /// The hold, raised and lifted.
    pub holds: Vec<(When, bool)>,
    /// When somebody aborts what runs.
    pub aborts: Option<When>,
    /// People build the old primary anew and go back, and what breaks while they do.
    pub back: Option<Vec<(When, Break)>>,
    /// What people do about an execution that stopped half-way.
    pub half_way: HalfWay,
    /// These troubles and no others; `None`: as the seed draws them.
    pub only: Option<Vec<(u64, Trouble)>>,
}

/// What may break beside the primary.
const ASIDE: [Break; 26] = [
    Break::Cut(Place::Primary, Place::Standby),
    Break::Cut(Place::Standby, Place::Witness),
    Break::Cut(Place::Primary, Place::Witness),
    Break::OneWay(Place::Primary, Place::Standby),
    Break::OneWay(Place::Standby, Place::Primary),
    Break::OneWay(Place::Standby, Place::Witness),
    Break::OneWay(Place::Witness, Place::Primary),
    Break::Still(Place::Primary),
    Break::Still(Place::Witness),
    Break::Slow(Place::Standby),
    Break::Slow(Place::Witness),
    Break::Throttle(200),
    Break::ApplicationDown(Place::Standby),
    Break::Flapping,
    Break::PauseReplay,
    Break::StallStream,
    Break::PromotionHangs,
    Break::BackingUp,
    Break::DatabaseDown,
    Break::Optimizes,
    Break::Resized,
    Break::BucketAway,
    Break::RogueSwitch,
    Break::Kill(Place::Witness),
    Break::Returns(Place::Primary),
    Break::Heal,
];

/// The first quarter of an hour decides a night; it is looked at this often whether it is over.
const LOOK: Millis = Millis::from_secs(5);
const LONGEST: Millis = Millis::from_secs(3 * 3600);
/// Nothing started by then: nothing will.
const QUIET: Millis = Millis::from_secs(600);
/// Once all is over the world heals, and the old primary comes back for this long.
const AFTERMATH: Millis = Millis::from_secs(75);
/// And what was not told by then is told by the ticks and deliveries of so long a time: the workflow's own time-out,
/// at worst.
const LATEST: Millis = Millis::from_secs(16_000);

impl Night {
    /// The night of a seed.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x0006_E167);
        let variant = match chance.below(100) {
            0..55 => Variant::Automatic,
            55..60 => Variant::Sessions,
            60..72 => Variant::Asks,
            72..76 => Variant::AsksTwo,
            76..88 => Variant::Stays,
            88..92 => Variant::NoWitness,
            _ => Variant::Rehearsal,
        };
        let settings = Settings {
            seed,
            trouble_permille: pick(&mut chance, &[0, 1, 3, 3, 8, 15]),
            slow_permille: pick(&mut chance, &[0, 3, 10, 30]),
            lambda_permille: pick(&mut chance, &[0, 10, 30, 60]),
            primary_ahead: Millis(chance.below(200)),
            drift: !chance.happens(200),
        };
        let mut night = Self {
            seed,
            variant,
            settings,
            people: people(&mut chance, variant),
            twice_permille: pick(&mut chance, &[0, 50, 300]),
            lost_permille: pick(&mut chance, &[0, 0, 20, 80]),
            ticks_anywhere: false,
            looks: false,
            settled: false,
            course: course(&mut chance),
            breaks: Vec::new(),
            deeds: Vec::new(),
            holds: Vec::new(),
            aborts: None,
            back: way_back(seed),
            half_way: HalfWay::of(seed),
            only: None,
        };
        night.breaks_and_deeds(&mut chance);
        // Drawn apart, so that every other night stays what it was.
        night.overrides(&mut Chance::new(seed ^ 0x0_5BA2E));
        night.fails_while_people_think(&mut Chance::new(seed ^ 0x7A1_C017));
        night.others_rush(&mut Chance::new(seed ^ 0x0002_0054));
        night.replica_restarts(&mut Chance::new(seed ^ 0x0E57_A275));
        night.two_versions(&mut Chance::new(seed ^ 0x0002_BE25));
        night.outside_of_our_assumptions(&mut Chance::new(seed ^ 0x0075_1DE0));
        night.ticks_anywhere = Chance::new(seed ^ 0x71C5).happens(700);
        night.looks_between(&mut Chance::new(seed ^ 0x0001_00C5));
        night.switch_is_cut(&mut Chance::new(seed ^ 0x0A1A_0DE1));
        night.settled = Chance::new(seed ^ 0x5E77_1ED0).happens(700);
        night.aborts = aborts(&mut Chance::new(seed ^ 0x0AB0_127E));
        night
    }

    /// What the standby lacks, and somebody who takes it on, or something else than it, or not for long enough.
    fn overrides(&mut self, chance: &mut Chance) {
        if chance.happens(20) {
            let category = if chance.happens(500) { Category::Corruption } else { Category::Security };
            self.deeds.push((seconds(60 + chance.below(400)), Deed::Declares(category)));
        }
        if !chance.happens(50) {
            return;
        }
        let lacks = chance.below(3);
        if lacks != 1 {
            self.breaks.push((When::At(seconds(40)), Break::ApplicationDown(Place::Standby)));
        }
        if lacks != 0 {
            self.breaks.push((When::At(seconds(150 + chance.below(200))), Break::BackingUp));
        }
        let lasts = seconds(30 + chance.below(500));
        self.deeds.push((seconds(60 + chance.below(300)), Deed::Overrides("PF-08:api", lasts)));
    }

    /// The primary's stack has another plan, or gets it, or gets ours back: a deploy or a roll-back, of which the outage may
    /// be in the middle.
    fn two_versions(&mut self, chance: &mut Chance) {
        if !chance.happens(80) {
            return;
        }
        let ttl = pick(chance, &[60, 125, 240, 300, 480, 900]);
        let early = if chance.happens(700) { 0 } else { 40 + chance.below(200) };
        self.breaks.push((When::At(seconds(early)), Break::GuardOf(ttl)));
        if chance.happens(250) {
            // What the old guard gave is all that its databases ever get.
            let stops = early + 62 + chance.below(30);
            self.breaks.push((When::At(seconds(stops)), Break::SetsNothing));
            if chance.happens(300) {
                // And nothing else: whether that is told.
                return;
            }
            self.breaks.push((When::At(seconds(stops + 1)), Break::GuardOurs));
            let lost = if chance.happens(800) { Break::Isolate(Place::Primary) } else { Break::Heal };
            self.breaks.push((When::At(seconds(stops + 62 + chance.below(60))), lost));
        } else if chance.happens(800) {
            self.breaks.push((When::At(seconds(early + 30 + chance.below(300))), Break::GuardOurs));
        }
    }

    /// Half of the nights look between their ticks; of some of these the queues are away for a while.
    fn looks_between(&mut self, chance: &mut Chance) {
        self.looks = chance.happens(500);
        if self.looks && chance.happens(60) {
            let place = [Place::Primary, Place::Standby, Place::Witness];
            let place = usize::try_from(chance.below(3)).ok().and_then(|drawn| place.get(drawn));
            let away = When::At(seconds(chance.below(300)));
            self.breaks.push((away, Break::QueuesAway(place.copied().unwrap_or(Place::Primary))));
        }
    }

    /// Hosts whose clocks are simply wrong, a primary that was restored under its replica's feet, a disk that hangs.
    fn outside_of_our_assumptions(&mut self, chance: &mut Chance) {
        if chance.happens(40) {
            let wrong = pick(chance, &[20, 100, 300]);
            self.breaks.push((When::At(Millis::ZERO), Break::ClocksWrong(wrong)));
        }
        if chance.happens(20) {
            // Before a move, or after it was assessed. Whoever restores it behind the fence makes a second writer by hand.
            let when = if chance.happens(700) {
                When::At(seconds(20 + chance.below(40)))
            } else {
                When::In("Freeze", Millis::ZERO)
            };
            self.breaks.push((when, Break::Restored));
        }
        if chance.happens(40) {
            self.breaks.push((When::At(seconds(50 + chance.below(300))), Break::DiskHangs));
        }
    }

    /// Somebody deletes the alarm that the switch follows, before anything fails or in the middle of it.
    fn switch_is_cut(&mut self, chance: &mut Chance) {
        if chance.happens(20) {
            self.breaks.push((When::At(seconds(chance.below(600))), Break::AlarmDeleted));
        }
    }

    /// While the question of a planned move is open, or soon after, the service dies of itself: the outage may begin
    /// before the lease is closed.
    fn fails_while_people_think(&mut self, chance: &mut Chance) {
        let asks = matches!(self.variant, Variant::Asks | Variant::AsksTwo | Variant::Stays);
        let planned = self.deeds.iter().any(|(_, deed)| *deed == Deed::Asks("switchover"));
        if asks && planned && chance.happens(400) {
            let lost = if chance.happens(700) {
                Break::ApplicationDown(Place::Primary)
            } else {
                Break::Kill(Place::Primary)
            };
            self.breaks.push((When::In("AskApproval", Millis(chance.below(120_000))), lost));
        }
    }

    /// A Region goes, and with it everybody's primary: all fail over at once.
    fn others_rush(&mut self, chance: &mut Chance) {
        if chance.happens(40) {
            let rush = Break::Rush(pick(chance, &[1_000, 10_000, 50_000]));
            self.breaks.push((When::At(seconds(65 + chance.below(120))), rush));
        }
    }

    fn replica_restarts(&mut self, chance: &mut Chance) {
        if chance.happens(60) {
            let when = if chance.happens(500) {
                When::In("Recycle", Millis(chance.below(2_000)))
            } else {
                in_a_state(chance)
            };
            self.breaks.push((when, Break::Restarts));
        }
    }

    fn breaks_and_deeds(&mut self, chance: &mut Chance) {
        let at = seconds(65 + chance.below(60));
        let planned = chance.below(100) < if self.variant == Variant::Rehearsal { 90 } else { 10 };
        if planned {
            let deed = match self.variant {
                Variant::Rehearsal => Deed::Drills,
                _ => Deed::Asks("switchover"),
            };
            self.deeds.push((at, deed));
        } else {
            let lost = match chance.below(10) {
                0..4 => Break::Kill(Place::Primary),
                4..8 => Break::Isolate(Place::Primary),
                8 => Break::ApplicationDown(Place::Primary),
                _ => Break::Slow(Place::Primary),
            };
            self.breaks.push((When::At(at), lost));
        }
        for _ in 0..pick(chance, &[0, 0, 1, 1, 2, 3]) {
            let drawn = usize::try_from(chance.below(ASIDE.len() as u64)).unwrap_or(0);
            let broken = ASIDE.get(drawn).copied().unwrap_or(Break::Heal);
            let when = match chance.below(2) {
                0 => When::At(seconds(40 + chance.below(500))),
                _ => in_a_state(chance),
            };
            self.breaks.push((when, broken));
        }
        if planned && chance.happens(300) {
            self.breaks.push((When::At(seconds(80 + chance.below(200))), Break::Kill(Place::Primary)));
        }
        if chance.happens(60) {
            self.returns_beside_the_witness(chance);
        }
        if chance.happens(40) {
            // Before every heartbeat, for behind the last one nothing could show it.
            self.breaks.push((When::At(Millis::ZERO), Break::GateDropped));
        }
        if chance.happens(20) {
            self.breaks.push((in_a_state(chance), Break::Kill(Place::Standby)));
        }
        match chance.below(20) {
            0 | 1 => self.holds(chance),
            2 => self.deeds.push((seconds(100 + chance.below(500)), Deed::Asks("failover"))),
            3..6 => self.deeds.push((seconds(100 + chance.below(400)), Deed::AlarmComes)),
            _ => {}
        }
    }

    /// While the lease is closed the standby is cut from the others; then the primary is back, and finds the witness.
    fn returns_beside_the_witness(&mut self, chance: &mut Chance) {
        let closing = When::In("CloseLease", Millis(chance.below(400)));
        self.breaks.push((closing, Break::Cut(Place::Primary, Place::Standby)));
        if chance.happens(700) {
            self.breaks.push((closing, Break::Cut(Place::Standby, Place::Witness)));
        }
        self.breaks.push((When::In("Fence", seconds(chance.below(90))), Break::Returns(Place::Primary)));
    }

    fn holds(&mut self, chance: &mut Chance) {
        let (raised, lifted) = match chance.below(2) {
            0 => {
                let raised = 100 + chance.below(400);
                (When::At(seconds(raised)), When::At(seconds(raised + 20 + chance.below(300))))
            }
            // Just before the door, and while it is crossed.
            _ => {
                (When::In("Promote", Millis(chance.below(3_000))), When::In("ReportRolledBack", Millis::ZERO))
            }
        };
        self.holds.extend([(raised, true), (lifted, false)]);
    }

    /// Lives the night to its end.
    pub fn live<'m>(&self, machine: &'m Machine, plans: &Plans) -> Simulation<'m> {
        let mut simulation = Simulation::new(machine, plans.of(self.variant, self.looks), self.settings);
        let (unnoticed, modifying, rebooting) = self.course;
        simulation.world.promotes_within(unnoticed, modifying, rebooting);
        simulation.clients_write_every(3_000);
        simulation.people = self.people;
        simulation.twice_permille = self.twice_permille;
        simulation.lost_permille = self.lost_permille;
        if self.settled {
            simulation.looks_came();
        }
        simulation.ticks_anywhere = self.ticks_anywhere;
        if let Some(only) = &self.only {
            simulation.world.only(only.clone());
        }
        for (at, broken) in &self.breaks {
            match at {
                When::At(at) => simulation.break_in(*at, *broken),
                When::In(state, after) => simulation.break_at(state, *after, *broken),
            }
        }
        for (at, raised) in &self.holds {
            match at {
                When::At(at) => simulation.hold_in(*at, *raised),
                When::In(state, after) => simulation.hold_at(state, *after, *raised),
            }
        }
        match self.aborts {
            Some(When::At(at)) => simulation.abort_in(at),
            Some(When::In(state, after)) => simulation.abort_at(state, after),
            None => {}
        }
        let mut deeds = self.deeds.clone();
        deeds.sort_by_key(|(at, _)| *at);
        let last = deeds.iter().map(|(at, _)| *at).max().unwrap_or_default();
        let mut now = Millis::ZERO;
        for (at, deed) in deeds {
            simulation.run_for(at.saturating_sub(now));
            now = now.max(at);
            deed.done(&mut simulation);
        }
        while now < LONGEST && (now <= last || open(&simulation, now)) {
            simulation.run_for(LOOK);
            now = now.saturating_add(LOOK);
        }
        if self.half_way == HalfWay::Continued {
            simulation.goes_on(1);
        }
        if let Some(breaks) = &self.back {
            goes_back(&mut simulation, breaks);
        }
        simulation.break_now(Break::Heal);
        simulation.world.calm();
        simulation.run_for(AFTERMATH);
        simulation.run_until(LONGEST, |simulation| !simulation.busy());
        if self.half_way == HalfWay::Continued {
            simulation.gets_on();
        }
        // Another attempt may begin meanwhile.
        simulation.run_until(LATEST, |simulation| told(simulation) && !simulation.busy());
        simulation
    }
}

/// Of some nights there is a second act. It has a chance of its own, so that the first is the same with and without it.
fn way_back(seed: u64) -> Option<Vec<(When, Break)>> {
    const ASIDE: [Break; 12] = [
        Break::Cut(Place::Primary, Place::Standby),
        Break::OneWay(Place::Primary, Place::Standby),
        Break::OneWay(Place::Standby, Place::Primary),
        Break::Cut(Place::Standby, Place::Witness),
        Break::Still(Place::Primary),
        Break::PauseReplay,
        Break::StallStream,
        Break::BackingUp,
        Break::ApplicationDown(Place::Primary),
        Break::Throttle(200),
        Break::Kill(Place::Primary),
        Break::Heal,
    ];
    let mut chance = Chance::new(seed ^ 0x0BAC_C0DE);
    if !chance.happens(120) {
        return None;
    }
    let mut breaks = Vec::new();
    for _ in 0..pick(&mut chance, &[0, 0, 1, 2]) {
        let drawn = usize::try_from(chance.below(ASIDE.len() as u64)).unwrap_or(0);
        breaks.push((in_a_state(&mut chance), ASIDE.get(drawn).copied().unwrap_or(Break::Heal)));
    }
    Some(breaks)
}

/// All is well again, the old primary becomes a replica, and somebody asks to go back there.
fn goes_back(simulation: &mut Simulation<'_>, breaks: &[(When, Break)]) {
    simulation.break_now(Break::Heal);
    simulation.run_for(AFTERMATH);
    simulation.break_now(Break::Rebuild);
    simulation.run_for(AFTERMATH);
    for (when, broken) in breaks {
        if let When::In(state, after) = when {
            simulation.break_at(state, *after, *broken);
        }
    }
    Deed::Asks("failback").done(simulation);
    simulation.run_for(LOOK);
    simulation.run_until(LONGEST, |simulation| !simulation.busy());
}

/// Whether every execution that began has its sealed end.
fn told(simulation: &Simulation<'_>) -> bool {
    let open = simulation.world.peek(Place::Standby, &keys::open_runs());
    let open = open.and_then(|open| serde_json::from_value::<OpenRuns>(open).ok());
    open.is_none_or(|open| open.executions.is_empty())
}

/// Whether anything is still to come of this night.
fn open(simulation: &Simulation<'_>, now: Millis) -> bool {
    simulation.busy() || (simulation.ends().is_empty() && now < QUIET)
}

/// Somebody calls it off: at any time, or around the one-way door.
fn aborts(chance: &mut Chance) -> Option<When> {
    if !chance.happens(30) {
        return None;
    }
    Some(match chance.below(2) {
        0 => When::At(seconds(100 + chance.below(400))),
        _ => When::In("Freeze", Millis(chance.below(10_000))),
    })
}

/// A moment in the life of an execution.
fn in_a_state(chance: &mut Chance) -> When {
    const STATES: [&str; 22] = [
        "Assess",
        "RaiseCapacity",
        "RaiseWhileAsking",
        "AskApproval",
        "LookAgain",
        "Freeze",
        "CloseLease",
        "Fence",
        "AwaitFence",
        "AskAcceptance",
        "Accept",
        "Capture",
        "Promote",
        "AwaitPromotion",
        "Unfence",
        "Recycle",
        "VerifyWrite",
        "MoveTraffic",
        "RunConsumers",
        "Confirm",
        "UndoGrantBack",
        "UndoThaw",
    ];
    let drawn = usize::try_from(chance.below(STATES.len() as u64)).unwrap_or(0);
    When::In(STATES.get(drawn).copied().unwrap_or("Fence"), Millis(chance.below(4_000)))
}

fn seconds(seconds: u64) -> Millis {
    Millis::from_secs(seconds)
}

fn pick(chance: &mut Chance, of: &[u64]) -> u64 {
    let drawn = usize::try_from(chance.below(of.len() as u64)).unwrap_or(0);
    of.get(drawn).copied().unwrap_or_default()
}

fn people(chance: &mut Chance, variant: Variant) -> People {
    if !matches!(variant, Variant::Asks | Variant::AsksTwo | Variant::Stays) {
        return People::Absent;
    }
    let first = Millis(2_000 + chance.below(200_000));
    let second = |chance: &mut Chance| Millis(2_000 + chance.below(200_000));
    if variant == Variant::AsksTwo && chance.happens(700) {
        return People::Both { first, second: second(chance) };
    }
    match chance.below(11) {
        0 => People::Absent,
        1 => People::Answer { after: late(chance.below(100)), yes: true },
        2 => People::Answer { after: first, yes: false },
        4 => People::Mistaken { after: first },
        5 => People::Own { after: first },
        3 => People::Disagree { first, second: second(chance) },
        6 => People::Twice { after: first, again: Millis(chance.below(60_000)) },
        _ => People::Answer { after: first, yes: true },
    }
}

/// About when the time to answer is over, and every second time around that very second.
fn late(drawn: u64) -> Millis {
    if drawn < 50 { seconds(280 + 2 * drawn) } else { Millis(299_000 + 60 * (drawn - 50)) }
}

fn course(chance: &mut Chance) -> (i64, i64, i64) {
    let mut below = |least: i64, most: u64| least + i64::try_from(chance.below(most)).unwrap_or(0);
    (below(0, 20_000), below(5_000, 90_000), below(5_000, 90_000))
}

impl Deed {
    fn done(self, simulation: &mut Simulation<'_>) {
        let soon = Millis(20);
        match self {
            Self::Asks(kind) => {
                let event = json!({"start": {"kind": kind, "by": "sre-1", "why": "a night"}});
                simulation.deliver_in(soon, Function::AlarmHandler, event);
            }
            Self::Drills => {
                let event = json!({"drill": {"by": "sre-1", "why": "a night"}});
                simulation.deliver_in(soon, Function::DrillRunner, event);
            }
            Self::Overrides(check, lasts) => simulation.override_in(soon, check, lasts),
            Self::Declares(category) => simulation.declare_in(soon, category),
            Self::AlarmComes => simulation.deliver_in(soon, Function::AlarmHandler, alarm(simulation)),
        }
    }
}

fn alarm(simulation: &Simulation<'_>) -> Value {
    let name = format!("understudy-{}-primary", simulation.world.plan.name);
    let alarm = json!({"AlarmName": name, "NewStateValue": "ALARM"});
    json!({"Records": [{"Sns": {"Message": alarm.to_string()}}]})
}
