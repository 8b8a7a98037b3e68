use flaskblog_api::children::{
    LAST_HANDLED_ROOT_ROTATION, LAST_HANDLED_ROTATION, ROOT_ROTATED_AT, ROTATE_PASSWORD,
    ROTATE_ROOT_PASSWORD, ROTATED_AT,
};
use serde_json::{Value, json};

use super::*;

/// A blog with Secrets of the first of May, and the time.
struct Situation {
    asked: Value,
    spec: Value,
    secret: Value,
    app: Value,
    database_ready: i64,
    containers: &'static [&'static str],
    updated: i64,
    now: &'static str,
}

/// A healthy blog without pending changes.
fn at_rest() -> Situation {
    Situation {
        asked: json!({}),
        spec: json!({}),
        secret: json!({}),
        app: app("", 2, 2),
        database_ready: 1,
        containers: &["mysql", "credential-sync"],
        updated: 1,
        now: "2026-05-31T12:00:00Z",
    }
}

fn app(rotation: &str, replicas: i64, available: i64) -> Value {
    let annotation = template_annotation(Child::DatabaseSecret);
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "generation": 3},
        "spec": {"replicas": replicas, "template": {"metadata": {"annotations": {annotation: rotation}}}},
        "status": {"observedGeneration": 3, "replicas": replicas, "updatedReplicas": replicas,
            "availableReplicas": available}})
}

impl Situation {
    fn steps(&self) -> Vec<(Credential, Action)> {
        let secret = |name: &str, annotations: &Value| {
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "resourceVersion": "7",
                "creationTimestamp": "2026-05-01T00:00:00Z", "annotations": annotations}})
        };
        let containers: Vec<Value> = self.containers.iter().map(|name| json!({"name": name})).collect();
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x-mysql", "generation": 1},
            "spec": {"template": {"spec": {"containers": containers}}},
            "status": {"observedGeneration": 1, "readyReplicas": self.database_ready, "updatedReplicas": self.updated,
                "currentRevision": "a", "updateRevision": if self.updated == 1 { "a" } else { "b" }}});
        let children = [
            (Child::DatabaseSecret, secret("x-mysql", &self.secret)),
            (Child::SessionSecret, secret("x-session", &json!({}))),
            (Child::Database, set),
            (Child::App, self.app.clone()),
        ];
        let children = children
            .map(|(role, object)| (role, std::sync::Arc::new(serde_json::from_value(object).unwrap())));
        let blog = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "spec": self.spec,
            "metadata": {"name": "x", "annotations": self.asked}});
        let blog = serde_json::from_value(blog).unwrap();
        let steps = steps(&blog, &Objects::applied(children.into()), self.now.parse().unwrap());
        assert!(steps.iter().all(|step| step.version.as_deref() == Some("7")));
        steps.into_iter().map(|step| (step.credential, step.action)).collect()
    }

    /// The rotations that begin, with their reasons.
    fn begins(&self) -> Vec<(Credential, String)> {
        let begins = |(credential, action)| match action {
            Action::Begin { why, .. } => Some((credential, why)),
            Action::Finish => None,
        };
        self.steps().into_iter().filter_map(begins).collect()
    }
}

fn asked_for(annotation: &str, word: &str, secret: Value) -> Vec<(Credential, String)> {
    Situation { asked: json!({annotation: word}), secret, ..at_rest() }.begins()
}

#[test]
fn a_rotation_begins_once_for_each_new_word_of_a_person() {
    let begins = |credential, annotation: &str| vec![(credential, format!("asked for by {annotation}"))];
    let password = begins(Credential::Account, ROTATE_PASSWORD);
    assert_eq!(at_rest().steps(), []);
    assert_eq!(asked_for(ROTATE_PASSWORD, "may", json!({})), password);
    assert_eq!(asked_for(ROTATE_PASSWORD, "", json!({})), []);
    assert_eq!(asked_for(ROTATE_PASSWORD, "june", json!({ROTATION: "may"})), password);
    let root = begins(Credential::Root, ROTATE_ROOT_PASSWORD);
    assert_eq!(asked_for(ROTATE_ROOT_PASSWORD, "may", json!({ROTATION: "may"})), root);
    assert_eq!(asked_for(ROTATE_ROOT_PASSWORD, "june", json!({LAST_HANDLED_ROOT_ROTATION: "may"})), root);
    for heard in
        [json!({ROTATION: "may"}), json!({ROTATION: "2026-05-02T00:00:00Z", LAST_HANDLED_ROTATION: "may"})]
    {
        assert_eq!(asked_for(ROTATE_PASSWORD, "may", heard), []);
    }
    assert_eq!(asked_for(ROTATE_ROOT_PASSWORD, "may", json!({LAST_HANDLED_ROOT_ROTATION: "may"})), []);
}

#[test]
fn the_account_and_root_rotate_together_and_neither_waits_for_the_other() {
    let asked = json!({ROTATE_PASSWORD: "may", ROTATE_ROOT_PASSWORD: "may"});
    let both: Vec<_> = Situation { asked: asked.clone(), ..at_rest() }.begins();
    assert_eq!(both.len(), 2, "{both:?}");
    let secret = json!({ROTATION: "april", ROTATION_IN_PROGRESS: "true"});
    let under_way = Situation { asked, secret, ..at_rest() };
    assert_eq!(under_way.begins()[0].0, Credential::Root);
    assert_eq!(under_way.steps().len(), 1, "the account's next one waits its turn");
}

#[test]
fn roots_rotation_waits_for_mysql_and_credential_sync() {
    let root = || Situation {
        asked: json!({ROTATE_ROOT_PASSWORD: "may"}),
        spec: json!({"rotation": {"passwordDays": 1}}),
        secret: json!({ROTATED_AT: "2026-05-31T11:00:00Z"}),
        ..at_rest()
    };
    assert_eq!(root().begins().len(), 1);
    assert_eq!(Situation { database_ready: 0, ..root() }.steps(), []);
    assert_eq!(
        Situation { containers: &["mysql"], ..root() }.steps(),
        [],
        "a restart of MySQL waits for approval"
    );
    assert_eq!(Situation { updated: 0, ..root() }.steps(), [], "the pod is older than its template");
    let aged = Situation { asked: json!({}), containers: &["mysql"], ..root() };
    assert_eq!(aged.steps(), [], "age waits for it too");
}

#[test]
fn it_is_finished_when_every_replica_has_started_since_and_never_without_one() {
    let steps = |app| {
        let secret = json!({ROTATION: "may", ROTATION_IN_PROGRESS: "true"});
        Situation { asked: json!({ROTATE_PASSWORD: "june"}), secret, app, ..at_rest() }.steps()
    };
    assert_eq!(steps(app("april", 2, 2)), [], "the pods are older");
    assert_eq!(steps(app("may", 2, 1)), [], "one isn't up");
    assert_eq!(steps(app("may", 0, 0)), [], "nobody has told the server");
    let finish = [(Credential::Account, Action::Finish)];
    assert_eq!(steps(app("may", 2, 2)), finish, "and the next one waits its turn");
}

#[test]
fn age_alone_begins_a_rotation_of_what_is_older_than_the_spec_says() {
    let begins = |days: Value, secret: Value| {
        let spec = json!({"rotation": days});
        Situation { spec, secret, ..at_rest() }.begins().into_iter().map(|(what, _)| what).collect::<Vec<_>>()
    };
    use Credential::{Account, Root, SessionKey};
    assert_eq!(begins(json!(null), json!({})), []);
    assert_eq!(begins(json!({}), json!({})), []);
    assert_eq!(begins(json!({"passwordDays": 30}), json!({})), [Account, Root]);
    assert_eq!(begins(json!({"sessionKeyDays": 30}), json!({})), [SessionKey]);
    assert_eq!(begins(json!({"passwordDays": 31, "sessionKeyDays": 31}), json!({})), []);
    let (late, soon) = ("2026-04-20T00:00:00Z", "2026-05-20T00:00:00Z");
    let days = json!({"passwordDays": 30});
    assert_eq!(begins(days.clone(), json!({ROTATED_AT: soon})), [Root]);
    assert_eq!(begins(days.clone(), json!({ROTATED_AT: late, ROOT_ROTATED_AT: soon})), [Account]);
    assert_eq!(begins(days, json!({ROTATED_AT: "not a time", ROOT_ROTATED_AT: soon})), [Account]);
}

#[test]
fn a_rotation_by_age_tells_when_and_why_and_forgets_no_word_of_a_person() {
    let spec = json!({"rotation": {"passwordDays": 7}});
    let secret = json!({ROTATION: "may", ROOT_ROTATED_AT: "2026-05-30T00:00:00Z"});
    let aged = Situation { asked: json!({ROTATE_PASSWORD: "may"}), spec, secret, ..at_rest() };
    let at = "2026-05-31T12:00:00Z".to_owned();
    let why = "older than 7 days".to_owned();
    let begin = Action::Begin { rotation: at.clone(), heard: "may".into(), at, why };
    assert_eq!(aged.steps(), [(Credential::Account, begin)]);
}

#[test]
fn age_waits_while_the_blog_sleeps_has_no_replica_or_is_not_at_rest() {
    let days = json!({"passwordDays": 1, "sessionKeyDays": 1});
    let old = || Situation { spec: json!({"rotation": days}), ..at_rest() };
    assert_eq!(old().begins().len(), 3);
    let asleep = json!({"rotation": days, "hibernate": true});
    assert_eq!(Situation { spec: asleep, ..old() }.steps(), []);
    assert_eq!(Situation { app: app("", 0, 0), ..old() }.steps(), []);
    assert_eq!(Situation { app: app("", 2, 1), ..old() }.steps(), []);
    let only_keys = Situation { database_ready: 0, ..old() }.begins();
    assert_eq!(only_keys, [(Credential::SessionKey, "older than a day".to_owned())]);
    let under_way =
        json!({ROTATION: "may", ROTATION_IN_PROGRESS: "true", ROOT_ROTATED_AT: "2026-05-31T11:00:00Z"});
    assert_eq!(Situation { secret: under_way, ..old() }.begins().len(), 1, "only the session key");
}

#[test]
fn roots_next_password_waits_until_the_one_before_has_arrived() {
    let begins = |rotated: &str, updated: i64| {
        let secret = json!({ROOT_ROTATED_AT: rotated, LAST_HANDLED_ROOT_ROTATION: "one"});
        let asked = json!({ROTATE_ROOT_PASSWORD: "two"});
        let situation = Situation { asked, secret, updated, ..at_rest() };
        situation.begins().iter().any(|(credential, _)| *credential == Credential::Root)
    };
    assert!(!begins("2026-05-31T11:57:01Z", 1), "within three minutes");
    assert!(begins("2026-05-31T11:57:00Z", 1));
    assert!(!begins("2026-05-31T11:57:00Z", 0), "the pod isn't ready, as credential-sync fails");
    assert!(begins("2027-05-31T11:50:00Z", 1), "the clock was ahead");
}

#[test]
fn a_password_of_a_future_date_is_made_anew_by_age() {
    let begins = |rotated: &str| {
        let spec = json!({"rotation": {"passwordDays": 30}});
        let secret = json!({ROTATED_AT: rotated, ROOT_ROTATED_AT: rotated});
        Situation { spec, secret, ..at_rest() }.begins().len()
    };
    assert_eq!(begins("2026-05-31T13:00:00Z"), 0, "clocks differ by hours");
    assert_eq!(begins("2031-01-01T00:00:00Z"), 2);
}
