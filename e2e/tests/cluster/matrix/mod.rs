//! Every fault of every object of a blog in every state: it is healed or named, the data is kept, and `Ready` is true only
//! while a post can be changed and read. `make test` runs a sample, `make faults` all.

mod api;
mod blog;
mod fault;
mod fields;
mod object;

use std::{
    thread::{self, sleep},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use self::{
    api::Proxy,
    blog::{Blog, Conditions, NAME},
    fault::{Fault, HOLD, Injected},
    object::{Object, Role},
};
use crate::{recommendation::Definition, schedule::Slot, truth::follow};

/// The longest way back: MySQL's restart, and the delay before a contested object is written again.
const LIMIT: Duration = Duration::from_secs(420);
/// A fault is healed or named when it stays so for so long: status and pods follow an object a moment later.
const STAYS: Duration = Duration::from_secs(8);
/// The same when the fault was taken back, and pods have to follow.
const AFTER_UNDO: Duration = Duration::from_secs(150);
/// Faults that follow from one that was taken back are taken back, too.
const ROUNDS: usize = 4;
/// So long another manager goes on, unless it is named.
const CONTEST: Duration = Duration::from_secs(60);
/// So many blogs in each state, when all is run.
const LANES: usize = 1;
/// Faults of one hibernation: resuming takes longest.
const ASLEEP: usize = 6;
/// One of so many combinations is in the sample.
const SAMPLED: usize = 37;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Hibernated,
    Suspended,
    RollingOut,
}

impl State {
    const ALL: [Self; 4] = [Self::Running, Self::Hibernated, Self::Suspended, Self::RollingOut];

    fn is_reached(self, seen: &Conditions) -> bool {
        match self {
            Self::Running | Self::RollingOut => seen.is("Ready", "True") && seen.is("Degraded", "False"),
            Self::Hibernated => seen.is("Hibernated", "True") && seen.is("Degraded", "False"),
            Self::Suspended => seen.is("Suspended", "True"),
        }
    }
}

/// How a fault ended.
enum Ending {
    NotApplicable,
    Healed,
    Named(String),
}

#[test]
fn every_fault_of_every_object_is_healed_or_named() {
    let _slot = Slot::acquire_long();
    let (_definition, _proxy) = (Definition::applied(), Proxy::started());
    let is_all = std::env::var("FAULTS").is_ok_and(|value| value == "all");
    // Each with a blog of its own, as most of the time is waiting.
    let lanes = if is_all { LANES } else { 1 };
    let run = |state: State| {
        (0..lanes).map(move |lane| thread::spawn(move || run_lane(state, lane, lanes, is_all)))
    };
    let running: Vec<_> = State::ALL.into_iter().flat_map(run).collect();
    // All end before the slot does, also when one has panicked.
    let ended: Vec<_> = running.into_iter().map(thread::JoinHandle::join).collect();
    let failed: Vec<String> = ended.into_iter().flat_map(|lane| lane.expect("no lane panics")).collect();
    assert!(failed.is_empty(), "{} faults ended otherwise:\n{}", failed.len(), failed.join("\n"));
}

/// The combinations of a state that one blog takes; returns those that fail.
fn run_lane(state: State, lane: usize, lanes: usize, is_all: bool) -> Vec<String> {
    let namespace = format!("faults-{state:?}-{lane}").to_lowercase();
    let mut failed = Vec::new();
    let mut blog = None;
    let cells: Vec<_> = chosen(state, is_all).into_iter().skip(lane).step_by(lanes).collect();
    for (position, (role, fault)) in cells.iter().copied().enumerate() {
        let began = Instant::now();
        let mut current = blog.take().unwrap_or_else(|| Blog::created(&namespace));
        let is_last = position + 1 == cells.len();
        let wakes = state != State::Hibernated || is_last || position % ASLEEP == ASLEEP - 1;
        let outcome = run(&mut current, state, role, fault, wakes);
        let words = match &outcome {
            Ok(Ending::NotApplicable) => "not applicable".to_owned(),
            Ok(Ending::Healed) => "healed".to_owned(),
            Ok(Ending::Named(words)) => format!("named: {words}"),
            Err(words) => format!("FAILED: {words}"),
        };
        let line = format!("{state:?} {role:?} {fault:?}: {words} ({:.0?})", began.elapsed());
        println!("{line}");
        // What a failure leaves behind must not fail the next one: that one begins with another blog.
        match outcome {
            Ok(_) => blog = Some(current),
            Err(_) => failed.push(line),
        }
    }
    failed
}

/// Fault by fault, so that each is seen early on several objects.
fn chosen(state: State, is_all: bool) -> Vec<(Role, Fault)> {
    let roles = Role::all();
    let all = Fault::ALL.into_iter().flat_map(|fault| roles.iter().map(move |role| (*role, fault)));
    let numbered = all.enumerate().map(|(number, cell)| (number * State::ALL.len() + state as usize, cell));
    numbered
        .filter(
            |(number, cell)| if is_all { is_wanted(state, cell.0, cell.1) } else { number % SAMPLED == 0 },
        )
        .map(|(_, cell)| cell)
        .collect()
}

/// `FAULT_IN`, `FAULT_OF` and `FAULT` narrow the whole matrix to a state, an object and a fault.
fn is_wanted(state: State, role: Role, fault: Fault) -> bool {
    let matches =
        |variable: &str, name: String| std::env::var(variable).map_or(true, |wanted| name.contains(&wanted));
    matches("FAULT_IN", format!("{state:?}"))
        && matches("FAULT_OF", format!("{role:?}"))
        && matches("FAULT", format!("{fault:?}"))
}

fn run(blog: &mut Blog, state: State, role: Role, fault: Fault, leaves: bool) -> Result<Ending, String> {
    enter(blog, state)?;
    let object = Object::new(role, &blog.namespace, NAME);
    let ending = hit(blog, state, &object, fault)?;
    if leaves {
        leave(blog, state)?;
        blog.changes_its_post().map_err(|words| format!("at the end {words}"))?;
    }
    Ok(ending)
}

fn enter(blog: &mut Blog, state: State) -> Result<(), String> {
    match state {
        State::Running => {}
        State::Hibernated => blog.change(&json!({"hibernate": true}))?,
        State::Suspended => blog.change(&json!({"suspend": true}))?,
        State::RollingOut => {
            let title = format!("Title at {:?}", Instant::now());
            return blog.change(&json!({"title": title}));
        }
    }
    until(blog, "the state is reached", |seen| state.is_reached(seen))
}

fn leave(blog: &mut Blog, state: State) -> Result<(), String> {
    match state {
        State::Hibernated => blog.change(&json!({"hibernate": false}))?,
        State::Suspended => blog.change(&json!({"suspend": false}))?,
        State::Running | State::RollingOut => {}
    }
    until(blog, "the blog is ready again", |seen| State::Running.is_reached(seen))
}

fn hit(blog: &mut Blog, state: State, object: &Object, fault: Fault) -> Result<Ending, String> {
    let Some(mut before) = object.read() else { return Ok(Ending::NotApplicable) };
    if (state, object.role, fault) == (State::Hibernated, Role::Claim, Fault::Deleted) {
        // No pod uses it, so it goes at once, and a volume that isn't retained with it.
        let volume = format!(
            "/api/v1/persistentvolumes/{}",
            before["spec"]["volumeName"].as_str().unwrap_or_default()
        );
        api::merge(&volume, &json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}}))?;
    }
    let Some(mut injected) = fault.inject(object, &before)? else { return Ok(Ending::NotApplicable) };
    let goal = match state {
        State::Suspended => {
            until(blog, "the suspended blog is reported", |seen| State::Suspended.is_reached(seen))?;
            blog.change(&json!({"suspend": false}))?;
            State::Running
        }
        State::Hibernated if object.needs_pods(fault) => {
            forget_replicas(&mut before);
            blog.change(&json!({"hibernate": false}))?;
            State::Running
        }
        _ => state,
    };
    let mut named = None;
    for _ in 0..ROUNDS {
        let patience = if named.is_none() { STAYS } else { AFTER_UNDO };
        match healed_or_named(blog, goal, object, &before, &injected, patience)? {
            Ending::Healed if injected.is_contested() => injected.stop(),
            Ending::Named(words) => {
                let words = named.get_or_insert(words);
                if object.role == Role::Claim && is_gone(object) {
                    keep_the_volume(blog, goal, object)?;
                } else {
                    injected.undo(object, &before)?;
                    end_readers(fault, object, words);
                }
            }
            _ => return Ok(named.map_or(Ending::Healed, Ending::Named)),
        }
    }
    Err(format!("not healed when it was taken back; {named:?}"))
}

/// A blog that resumes has other replicas than before.
fn forget_replicas(object: &mut Value) {
    for entry in object["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
        if let Some(fields) = entry["fieldsV1"]["f:spec"].as_object_mut() {
            fields.remove("f:replicas");
        }
    }
}

fn is_gone(object: &Object) -> bool {
    object.read().is_none_or(|live| !live["metadata"]["deletionTimestamp"].is_null())
}

/// A kubelet keeps an immutable Secret while a pod uses it; the status advises the commands.
fn end_readers(fault: Fault, object: &Object, message: &str) {
    if fault == Fault::Immutable && object.needs_pods(fault) {
        follow(message, "use it are gone: ", "\0");
    }
}

/// Follows the commands that the status advises.
fn keep_the_volume(blog: &mut Blog, goal: State, claim: &Object) -> Result<(), String> {
    for (reason, from, to) in
        [("VolumeDeleting", "can be kept: ", "\0"), ("VolumeLost", "bind it again: ", ". To start with")]
    {
        let mut message = None;
        until(blog, &format!("Degraded is {reason}"), |seen| {
            message =
                seen.get("Degraded").filter(|(_, found, _)| found == reason).map(|(.., message)| message);
            // A claim that no pod uses goes at once, and a claim that a pod still uses may be bound again by then.
            message.is_some()
                || seen.get("Degraded").is_some_and(|(_, found, _)| found == "VolumeLost")
                || goal.is_reached(seen)
        })?;
        message.iter().for_each(|message| follow(message, from, to));
        // Another client holds it no longer; it is gone by then if none did.
        let _ = claim.remove_finalizer(HOLD);
    }
    Ok(())
}

/// Waits until one of both stays. A loop of another manager goes on for a minute unless it is named.
fn healed_or_named(
    blog: &mut Blog,
    goal: State,
    object: &Object,
    before: &Value,
    injected: &Injected,
    patience: Duration,
) -> Result<Ending, String> {
    let began = Instant::now();
    let (mut healed, mut named) = (None, None);
    while began.elapsed() < LIMIT {
        let seen = blog.look()?;
        let degraded = seen.get("Degraded").filter(|(status, ..)| status == "True");
        named = degraded.map(|(_, reason, message)| {
            let words = format!("{reason} after {:.0?}: {message}", began.elapsed());
            named.take().unwrap_or((Instant::now(), words))
        });
        let is_healed = goal.is_reached(&seen) && object.difference(before).is_none();
        healed = is_healed.then(|| healed.unwrap_or_else(Instant::now));
        if healed.is_some_and(|since| {
            since.elapsed() > STAYS && (!injected.is_contested() || began.elapsed() > CONTEST)
        }) {
            return Ok(Ending::Healed);
        }
        if let Some((since, words)) = &named
            && since.elapsed() > patience
        {
            return Ok(Ending::Named(words.clone()));
        }
        sleep(Duration::from_secs(1));
    }
    Err(format!("neither healed nor named after {LIMIT:?}: {:?}", object.difference(before)))
}

fn until(blog: &mut Blog, what: &str, mut is_reached: impl FnMut(&Conditions) -> bool) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let seen = blog.look()?;
        if is_reached(&seen) {
            return Ok(());
        }
        if began.elapsed() > LIMIT {
            let status = ["Ready", "Degraded"].map(|type_| seen.get(type_));
            return Err(format!("gave up after {LIMIT:?} waiting until {what}: {status:?}"));
        }
        sleep(Duration::from_secs(1));
    }
}
