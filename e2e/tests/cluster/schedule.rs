//! Which tests run at the same time. A test acquires all that it needs at once, so no test waits for another in a circle.
//!
//! - `acquire_alone`: changes the operator, a node or a definition of the whole cluster, or measures time or CPU.
//! - `acquire`: changes only what it has for itself. `E2E_LANES` such tests run at the same time.
//!
//! Tests that run alone wait until every other test that was started has ended.

use std::{fs::OpenOptions, io::Write, thread, time::Instant};

use parking_lot::{Condvar, Mutex};

/// Port 5000 of this machine, and the names that the page about Docker uses.
pub const PORT_5000: &str = "port 5000";
/// The namespace of the page about manifests, and the node port of its blogs.
pub const MANIFESTS: &str = "namespace flask-blog";

/// What a test needs beside a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// No other test at the same time, and the sample blog.
    Alone,
    /// The sample blog, which is the first one.
    SampleBlog,
    AnyBlog,
    Nothing,
    /// Nothing, but it takes long and begins early.
    LongLane,
}

/// What one running test can use at a time, if a test uses such a thing.
type Name = Option<&'static str>;

struct State {
    is_alone: bool,
    lanes: usize,
    /// Which blogs are free, the sample blog first.
    free_blogs: Vec<bool>,
    /// The names that running tests use.
    names: Vec<&'static str>,
    /// What the blocked tests need, and the names that they use.
    waiting: Vec<(Need, Name)>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

/// So many tests run at the same time: `E2E_LANES`, or 3.
fn lanes() -> usize {
    std::env::var("E2E_LANES").map_or(3, |text| text.parse().expect("E2E_LANES is a number")).max(1)
}

impl State {
    fn new(lanes: usize) -> Self {
        // A blog for each lane is enough: a test takes both or none.
        Self { is_alone: false, lanes, free_blogs: vec![true; lanes], names: Vec::new(), waiting: Vec::new() }
    }

    /// Whether a test may start; `Some` has the blog that it takes.
    fn choose(&self, need: Need, name: Name) -> Option<Option<usize>> {
        if self.is_alone || self.is_used(name) {
            return None;
        }
        if need == Need::Alone {
            let is_idle = self.lanes == self.free_blogs.len();
            return (is_idle && self.waiting.iter().all(|(other, _)| *other == Need::Alone))
                .then_some(Some(0));
        }
        if self.lanes == 0 || (self.is_overtaken() && matches!(need, Need::AnyBlog | Need::Nothing)) {
            return None;
        }
        match need {
            Need::SampleBlog => self.free_blogs[0].then_some(Some(0)),
            Need::AnyBlog => {
                // The sample blog is the last choice, and only when no test needs it by name.
                let first = usize::from(self.waits_for_sample_blog());
                (first..self.free_blogs.len()).rev().find(|blog| self.free_blogs[*blog]).map(Some)
            }
            _ => Some(None),
        }
    }

    /// Ends the wait of a test if it may start, and takes what it needs.
    fn start(&mut self, need: Need, name: Name) -> Option<Option<usize>> {
        let blog = self.choose(need, name)?;
        let position = self.waiting.iter().position(|other| *other == (need, name)).expect("this test waits");
        self.waiting.swap_remove(position);
        self.is_alone = need == Need::Alone;
        self.lanes -= 1;
        self.names.extend(name);
        blog.into_iter().for_each(|blog| self.free_blogs[blog] = false);
        Some(blog)
    }

    fn end(&mut self, need: Need, name: Name, blog: Option<usize>) {
        self.is_alone &= need != Need::Alone;
        self.lanes += 1;
        self.names.retain(|other| Some(*other) != name);
        blog.into_iter().for_each(|blog| self.free_blogs[blog] = true);
    }

    /// The tests of the sample blog are the longest chain, so they don't wait for a lane when the blog is free.
    fn is_overtaken(&self) -> bool {
        let is_long = |(need, _): &(Need, Name)| *need == Need::LongLane;
        self.waiting.iter().any(is_long) || (self.free_blogs[0] && self.waits_for_sample_blog())
    }

    fn waits_for_sample_blog(&self) -> bool {
        self.waiting.iter().any(|(need, name)| *need == Need::SampleBlog && !self.is_used(*name))
    }

    fn is_used(&self, name: Name) -> bool {
        name.is_some_and(|name| self.names.contains(&name))
    }
}

/// What a running test holds; released when this value goes, also after a panic.
pub struct Slot {
    need: Need,
    /// The number of its blog.
    pub blog: Option<usize>,
    name: Name,
    test: String,
    began: Instant,
}

impl Slot {
    pub fn acquire() -> Self {
        Self::wait(Need::Nothing, None)
    }

    pub fn acquire_alone() -> Self {
        Self::wait(Need::Alone, None)
    }

    pub fn acquire_long() -> Self {
        Self::wait(Need::LongLane, None)
    }

    /// No other test that uses this name runs at the same time.
    pub fn acquire_with(name: &'static str) -> Self {
        Self::wait(Need::Nothing, Some(name))
    }

    pub fn acquire_sample_blog(name: Name) -> Self {
        Self::wait(Need::SampleBlog, name)
    }

    pub fn acquire_any_blog() -> Self {
        Self::wait(Need::AnyBlog, None)
    }

    fn wait(need: Need, name: Name) -> Self {
        let mut state = STATE.lock();
        state.get_or_insert_with(|| State::new(lanes())).waiting.push((need, name));
        let blog = loop {
            if let Some(blog) = state.as_mut().and_then(|state| state.start(need, name)) {
                break blog;
            }
            CHANGED.wait(&mut state);
        };
        drop(state);
        // The wait of this test may be what blocked another one.
        CHANGED.notify_all();
        let test = thread::current().name().unwrap_or("unknown").to_owned();
        Self { need, blog, name, test, began: Instant::now() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(state) = STATE.lock().as_mut() {
            state.end(self.need, self.name, self.blog);
        }
        CHANGED.notify_all();
        self.record_time();
    }
}

impl Slot {
    /// Appends a line to the file `E2E_TIMES`, if it is set.
    fn record_time(&self) {
        let Ok(path) = std::env::var("E2E_TIMES") else { return };
        let line = format!("test {} took {:.0} s\n", self.test, self.began.elapsed().as_secs_f64());
        // No panic: the test may be panicking already.
        let file = OpenOptions::new().create(true).append(true).open(path);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// A state in which tests with these needs wait, and use no names.
fn waiting(lanes: usize, needs: &[Need]) -> State {
    State { waiting: needs.iter().map(|need| (*need, None)).collect(), ..State::new(lanes) }
}

#[test]
fn test_that_runs_alone_waits_for_all_others() {
    let mut state = waiting(3, &[Need::Alone, Need::Nothing]);
    assert_eq!(state.start(Need::Alone, None), None);
    assert_eq!(state.start(Need::Nothing, None), Some(None));
    assert_eq!(state.start(Need::Alone, None), None);
    state.end(Need::Nothing, None, None);
    assert_eq!(state.start(Need::Alone, None), Some(Some(0)));
    state.waiting.push((Need::Nothing, None));
    assert_eq!(state.start(Need::Nothing, None), None);
}

#[test]
fn sample_blog_is_kept_for_tests_that_name_it() {
    let mut state = waiting(2, &[Need::AnyBlog, Need::AnyBlog, Need::SampleBlog]);
    assert_eq!(state.start(Need::AnyBlog, None), None);
    assert_eq!(state.start(Need::SampleBlog, None), Some(Some(0)));
    assert_eq!(state.start(Need::AnyBlog, None), Some(Some(1)));
    state.end(Need::SampleBlog, None, Some(0));
    assert_eq!(state.start(Need::AnyBlog, None), Some(Some(0)));
}

#[test]
fn used_name_blocks_only_the_tests_that_use_it() {
    let mut state = State::new(3);
    state.waiting.push((Need::Nothing, Some(PORT_5000)));
    assert_eq!(state.start(Need::Nothing, Some(PORT_5000)), Some(None));
    state.waiting = vec![(Need::SampleBlog, Some(PORT_5000)), (Need::AnyBlog, None)];
    assert_eq!(state.start(Need::SampleBlog, Some(PORT_5000)), None);
    assert_eq!(state.start(Need::AnyBlog, None), Some(Some(2)));
    state.end(Need::Nothing, Some(PORT_5000), None);
    assert_eq!(state.start(Need::SampleBlog, Some(PORT_5000)), Some(Some(0)));
}

#[test]
fn every_test_starts_in_whatever_order_they_wait() {
    let mut tests = Vec::new();
    for need in [Need::Alone, Need::SampleBlog, Need::AnyBlog, Need::Nothing, Need::LongLane] {
        tests.extend([(need, None), (need, None)]);
    }
    tests.extend([(Need::SampleBlog, Some(PORT_5000)), (Need::Nothing, Some(PORT_5000))]);
    for rotation in 0..tests.len() {
        tests.rotate_left(rotation);
        for lanes in 1..5 {
            assert_eq!(run_all(lanes, tests.clone()), tests.len(), "with {lanes} lanes: {tests:?}");
        }
    }
}

/// Starts what may start, and ends the oldest running test when nothing may; returns how many ran.
fn run_all(lanes: usize, mut blocked: Vec<(Need, Name)>) -> usize {
    let mut state = State { waiting: blocked.clone(), ..State::new(lanes) };
    let (mut running, mut count) = (Vec::new(), 0);
    loop {
        let started = blocked
            .iter()
            .enumerate()
            .find_map(|(position, (need, name))| state.start(*need, *name).map(|blog| (position, blog)));
        if let Some((position, blog)) = started {
            let (need, name) = blocked.remove(position);
            running.push((need, name, blog));
            assert!(running.len() <= lanes);
            assert!(running.iter().filter(|(_, name, _)| *name == Some(PORT_5000)).count() <= 1);
            assert!(running.len() == 1 || running.iter().all(|(need, ..)| *need != Need::Alone));
        } else if running.is_empty() {
            return count;
        } else {
            let (need, name, blog) = running.remove(0);
            state.end(need, name, blog);
            count += 1;
        }
    }
}
