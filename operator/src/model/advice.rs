//! Errors as the status reports them: the cause, then the next command (no client required).

use flaskblog_api::conditions::reasons;

use crate::model::{
    blog_meta::BlogMeta,
    error::Error,
    kubectl::{describe_limits, edit_blog, grant, hibernate_and_wake, make_secret_writable},
};

/// The API server's message about a Secret that can't be changed.
const IMMUTABLE: &str = "field is immutable when `immutable` is set";

/// Errors that a message quotes at most.
const ERRORS_SHOWN: usize = 4;

/// The error, and the next command where it names none itself.
#[must_use]
pub fn message(id: &BlogMeta, error: &Error) -> String {
    messages(id, [error])
}

/// Several errors in one message. Duplicate commands appear once.
#[must_use]
pub fn messages<'a>(id: &BlogMeta, errors: impl IntoIterator<Item = &'a Error>) -> String {
    let (mut causes, mut commands) = (Vec::<String>::new(), Vec::<String>::new());
    for error in errors {
        if causes.len() == ERRORS_SHOWN {
            break;
        }
        push_new(&mut causes, error.to_string());
        if let Some(command) = next_command(id, error) {
            push_new(&mut commands, command);
        }
    }
    causes.extend(commands);
    causes.join("; ")
}

fn push_new(all: &mut Vec<String>, one: String) {
    if !all.contains(&one) {
        all.push(one);
    }
}

/// The command for a request that the API server refused.
///
/// The other errors name their command, or are retried.
fn next_command(id: &BlogMeta, error: &Error) -> Option<String> {
    let (Error::Read { source, .. } | Error::Write { source, .. }) = error else { return None };
    let kube::Error::Api(status) = &**source else { return None };
    match error.reason() {
        reasons::REJECTED if status.message.contains(IMMUTABLE) => writable_secret(id, error),
        reasons::REJECTED => Some(format!("to change the spec: {}", edit_blog(id))),
        reasons::FORBIDDEN => Some(forbidden(id, &status.message)),
        _ => None,
    }
}

/// The command that makes an immutable Secret writable.
///
/// A kubelet caches an immutable Secret while a pod of its node uses it.
fn writable_secret(id: &BlogMeta, error: &Error) -> Option<String> {
    let Error::Write { name, .. } = error else { return None };
    Some(format!(
        "to make it writable: {}; a kubelet keeps an immutable Secret until all pods of its node that use it are gone: {}",
        make_secret_writable(id, name),
        hibernate_and_wake(id)
    ))
}

/// The command for HTTP status 403.
///
/// The API server returns it for a missing permission, a quota and a policy alike.
fn forbidden(id: &BlogMeta, refusal: &str) -> String {
    if let Some(grant) = missing_permission(id, refusal) {
        return format!("upgrade the operator's chart, or grant the permission: {grant}");
    }
    if refusal.contains("exceeded quota") {
        return format!("the quota: {}", describe_limits(id));
    }
    format!("to change the spec: {}", edit_blog(id))
}

/// Parses the message of Kubernetes' authorizer.
///
/// It is `User "U" cannot VERB resource "R" in API group "G" in the namespace "N"`.
fn missing_permission(id: &BlogMeta, refusal: &str) -> Option<String> {
    let (user, rest) = refusal.split_once("User \"")?.1.split_once("\" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once("\" in API group \"")?;
    let (group, rest) = rest.split_once('"')?;
    let is_here = rest.starts_with(&format!(" in the namespace \"{}\"", id.namespace));
    let is_plain =
        |word: &&str| word.chars().all(|one| one.is_ascii_alphanumeric() || "-._:@/".contains(one));
    let can_be_pasted = [user, verb, resource, group].iter().all(is_plain);
    (is_here && can_be_pasted).then(|| grant(id, user, verb, resource, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> BlogMeta {
        BlogMeta { namespace: "press".into(), name: "daily".into(), uid: "1".into(), generation: None }
    }

    fn refused(name: &str, code: u16, message: &str) -> Error {
        let reason = if code == 403 { "Forbidden" } else { "Invalid" };
        let (message, reason) = (message.into(), reason.into());
        let status = kube::core::Status { code, message, reason, ..kube::core::Status::default() };
        let source = Box::new(kube::Error::Api(Box::new(status)));
        Error::Write { verb: "apply", kind: "Service".into(), name: name.into(), source }
    }

    #[test]
    fn missing_permission_is_granted_by_its_commands() {
        let words = |resource: &str| {
            format!(
                "x is forbidden: User \"system:serviceaccount:flaskblog-system:operator\" cannot patch resource \"{resource}\" in \
                 API group \"flaskblog.dev\" in the namespace \"press\""
            )
        };
        let message = message(&id(), &refused("daily", 403, &words("flaskblogs/status")));
        let expected = "(403); upgrade the operator's chart, or grant the permission: \
            kubectl create role flaskblog-operator:patch:flaskblogs:status -n press --verb=patch \
            --resource=flaskblogs.flaskblog.dev/status; \
            kubectl create rolebinding flaskblog-operator:patch:flaskblogs:status -n press \
            --role=flaskblog-operator:patch:flaskblogs:status --user=system:serviceaccount:flaskblog-system:operator";
        assert!(message.ends_with(expected), "{message}");
        assert_eq!(missing_permission(&id(), &words("a; rm")), None, "it could not be pasted");
    }

    #[test]
    fn other_refusals_name_the_spec_or_the_quota() {
        let quota = message(&id(), &refused("daily", 403, "exceeded quota: q"));
        assert!(quota.ends_with("kubectl describe resourcequota,limitrange -n press"), "{quota}");
        let policy = message(&id(), &refused("daily", 403, "admission webhook \"w\" denied the request"));
        assert!(policy.ends_with("(403); to change the spec: kubectl edit fb daily -n press"), "{policy}");
    }

    #[test]
    fn immutable_secret_is_made_writable_by_its_commands() {
        let refusal =
            "Secret \"daily\" is invalid: data: Forbidden: field is immutable when `immutable` is set";
        let message = message(&id(), &refused("daily", 422, refusal));
        assert!(message.contains("kubectl replace --force -n press -f daily.yaml; "), "{message}");
        assert!(message.ends_with(r#"--type=merge -p '{"spec":{"hibernate":false}}'"#), "{message}");
    }

    #[test]
    fn command_of_several_refusals_stands_there_once_and_last() {
        let errors = [refused("a", 422, "no"), refused("b", 422, "no"), refused("b", 422, "no")];
        assert_eq!(
            messages(&id(), &errors),
            "failed to apply Service a: no (422); failed to apply Service b: no (422); \
             to change the spec: kubectl edit fb daily -n press"
        );
    }
}
