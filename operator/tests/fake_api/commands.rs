//! The kubectl commands in messages: each is valid shell and names its namespace.

use flaskblog_api::Child;
use operator::model::{
    blog_meta::BlogMeta,
    error::Invalid,
    kubectl::{
        allow_empty, allow_upgrade, bind_volume, delete_claim, delete_object, delete_pod, edit_blog,
        keep_volume, label_claim, label_secret, remove_claim_owner, remove_finalizers, restore_secret,
        set_mysql_image,
    },
};
use serde_json::Value;
use shlex::Shlex;

const NAMESPACE: &str = "press";
const VERBS: [&str; 14] = [
    "annotate", "apply", "create", "delete", "describe", "edit", "exec", "get", "label", "logs", "patch",
    "rollout", "scale", "wait",
];
/// Words that follow a command in a sentence or a pipe.
const ENDS: [&str; 5] = ["|", "names", "shows", "and", "or"];

/// The words of each command that a message advises.
fn commands(message: &str) -> Vec<Vec<String>> {
    message.match_indices("kubectl ").map(|(start, _)| words(&message[start..])).collect()
}

/// Splits a command into words.
///
/// It ends at unquoted punctuation of the sentence or at a word of [`ENDS`].
fn words(text: &str) -> Vec<String> {
    let mut lexer = Shlex::new(text);
    let mut words = Vec::new();
    for word in lexer.by_ref() {
        let is_step = word.trim_end_matches('.').parse::<u8>().is_ok() && word.ends_with('.');
        if is_step || ENDS.contains(&word.as_str()) {
            return words;
        }
        let command = word.trim_end_matches([';', ',', ')', '.']);
        words.push(command.to_owned());
        if command.len() < word.len() {
            return words;
        }
    }
    assert!(!lexer.had_error, "a shell can't parse {text}");
    words
}

fn namespace(words: &[String]) -> Option<&str> {
    let at = words.iter().position(|word| word == "-n" || word == "--namespace")?;
    words.get(at + 1).map(String::as_str)
}

/// Checks that every command in a message can be pasted.
pub fn check(message: &str) {
    for words in commands(message) {
        let verb = words.get(1).map(String::as_str).unwrap_or_default();
        assert!(VERBS.contains(&verb), "no command of kubectl: {words:?} in {message}");
        let is_namespaced = words.get(2).is_none_or(|kind| kind != "pv");
        let expected = is_namespaced.then_some(NAMESPACE);
        assert_eq!(namespace(&words), expected, "another namespace: {words:?} in {message}");
        assert!(!words.iter().any(|word| word.contains(['<', '>', '…'])), "a placeholder: {words:?}");
    }
}

/// Checks every message of a FlaskBlog's status.
pub fn check_status(blog: &Value) {
    let status = &blog["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    for message in conditions.filter_map(|one| one["message"].as_str()) {
        check(message);
    }
    for line in status["pending"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        check(line);
    }
}

/// One refusal of every variant.
fn refusals(id: &BlogMeta) -> Vec<Invalid> {
    let (name, namespace) = ("daily-mysql".to_owned(), id.namespace.clone());
    let kind = "StatefulSet".to_owned();
    let (claim, volume) = ("data-daily-mysql-0".to_owned(), "pv-1".to_owned());
    let (image, served) = ("mysql:9.8".to_owned(), "9.7".to_owned());
    let allow = allow_upgrade(id, "9.8");
    let discard = format!("{}, then {}, {}", allow_empty(id, "uid"), delete_claim(id), delete_pod(id));
    vec![
        Invalid::NameConflict {
            kind: kind.clone(),
            name: name.clone(),
            delete: delete_object(id, &Child::Database.kind().api_resource(), &name),
        },
        Invalid::UnmarkedSecret { name: name.clone(), label: label_secret(id, &name) },
        Invalid::UnmarkedClaim { name: claim.clone(), label: label_claim(id, &claim) },
        Invalid::OwnedClaim {
            name: claim.clone(),
            owner: "ConfigMap other".into(),
            remove: remove_claim_owner(id, &claim, 0, "uid"),
        },
        Invalid::UselessClaim { name: claim.clone(), namespace: namespace.clone() },
        Invalid::VolumeDeleting {
            claim: claim.clone(),
            volume: volume.clone(),
            keep: keep_volume(id, &volume),
        },
        Invalid::VolumeLost {
            volume: volume.clone(),
            found: "its claim has lost it".into(),
            bind: bind_volume(id, &volume, true),
            discard: allow_empty(id, &volume),
        },
        Invalid::CredentialsMissing { secret: name.clone(), claim, restore: restore_secret(id), discard },
        Invalid::WaitingForCleanup { kind, name: name.clone(), namespace: namespace.clone() },
        Invalid::BeingDeleted {
            kind: "Service".into(),
            name: "daily".into(),
            finalizers: " and waits for its finalizers (example.com/hold)".into(),
            advice: remove_finalizers(id, Child::AppService),
        },
        Invalid::ExternalSecretMissing { name, namespace },
        Invalid::DatabaseDowngrade {
            image: image.clone(),
            served: served.clone(),
            rename: set_mysql_image(id, "mysql:9.7"),
        },
        Invalid::UpgradeUnconfirmed { image: image.clone(), served: served.clone(), allow: allow.clone() },
        Invalid::VersionUnknown { image, served, allow },
        Invalid::Unparsable { name: "daily".into(), cause: "spec.registration".into(), edit: edit_blog(id) },
        Invalid::Incomplete("uid"),
    ]
}

#[test]
fn commands_of_every_refusal_can_be_pasted() {
    let id =
        BlogMeta { namespace: NAMESPACE.into(), name: "daily".into(), uid: "1".into(), generation: None };
    let messages: Vec<String> = refusals(&id).iter().map(ToString::to_string).collect();
    messages.iter().for_each(|message| check(message));
    let advising = messages.iter().filter(|message| message.contains("kubectl ")).count();
    assert_eq!(advising, messages.len() - 1, "{messages:#?}");
}

#[test]
fn command_ends_where_its_sentence_goes_on() {
    let ends = |text: &str| commands(text).into_iter().map(|words| words.join(" ")).collect::<Vec<_>>();
    let chained =
        ends("do it: kubectl scale x -n press --replicas=0; kubectl patch pv a -p '{\"a\": \"b; c\"}'. Then");
    assert_eq!(chained, ["kubectl scale x -n press --replicas=0", "kubectl patch pv a -p {\"a\": \"b; c\"}"]);
    assert_eq!(
        ends("1. kubectl get a -n press 2. kubectl logs b names it"),
        ["kubectl get a -n press", "kubectl logs b"]
    );
}

#[test]
#[should_panic(expected = "another namespace")]
fn command_without_a_namespace_is_found() {
    check("see kubectl describe service daily names the cause");
}

#[test]
#[should_panic(expected = "a shell can't parse")]
fn quote_without_its_end_is_found() {
    check("kubectl patch fb daily -n press -p '{\"spec\": 1}");
}
