//! The kubectl commands that messages advise (no client required).

use flaskblog_api::{
    Child,
    children::{ALLOW_EMPTY, ALLOW_UPGRADE, APP_NAME, MANAGER, data_claim, database_pod},
};
use kube::api::ApiResource;

use crate::model::blog_meta::BlogMeta;

fn annotate(id: &BlogMeta, key: &str, value: &str) -> String {
    format!("kubectl annotate fb {} -n {} {key}={value} --overwrite", id.name, id.namespace)
}

/// Allows another MySQL version on the data.
#[must_use]
pub fn allow_upgrade(id: &BlogMeta, version: &str) -> String {
    annotate(id, ALLOW_UPGRADE, version)
}

/// Discards the data of a volume or PVC.
#[must_use]
pub fn allow_empty(id: &BlogMeta, lost: &str) -> String {
    annotate(id, ALLOW_EMPTY, lost)
}

/// Deletes an object in the blog's namespace.
#[must_use]
pub fn delete_object(id: &BlogMeta, kind: &ApiResource, name: &str) -> String {
    format!("kubectl delete {}", object(id, kind, name))
}

/// Marks a Secret as the blog's.
#[must_use]
pub fn label_secret(id: &BlogMeta, name: &str) -> String {
    let labels = labels(id, &["managed-by", "name", "instance"]);
    format!("kubectl label secret {name} -n {} {labels} --overwrite", id.namespace)
}

/// Marks a PVC as the blog's.
#[must_use]
pub fn label_claim(id: &BlogMeta, name: &str) -> String {
    format!("kubectl label pvc {name} -n {} {} --overwrite", id.namespace, labels(id, &["name", "instance"]))
}

/// Removes an owner reference of a PVC, unless it has changed meanwhile.
#[must_use]
pub fn remove_claim_owner(id: &BlogMeta, name: &str, position: usize, uid: &str) -> String {
    let path = format!("/metadata/ownerReferences/{position}");
    let patch =
        format!(r#"[{{"op":"test","path":"{path}/uid","value":"{uid}"}},{{"op":"remove","path":"{path}"}}]"#);
    format!("kubectl patch pvc {name} -n {} --type=json -p '{patch}'", id.namespace)
}

fn labels(id: &BlogMeta, keys: &[&str]) -> String {
    let value = |key: &str| match key {
        "managed-by" => MANAGER,
        "name" => APP_NAME,
        _ => &id.name,
    };
    let labels: Vec<String> =
        keys.iter().map(|key| format!("app.kubernetes.io/{key}={}", value(key))).collect();
    labels.join(" ")
}

/// Sets another MySQL image.
#[must_use]
pub fn set_mysql_image(id: &BlogMeta, image: &str) -> String {
    let patch = format!(r#"{{"spec":{{"database":{{"managed":{{"image":"{image}"}}}}}}}}"#);
    format!("kubectl patch fb {} -n {} --type=merge -p '{patch}'", id.name, id.namespace)
}

/// Sets the size of the volume.
#[must_use]
pub fn set_storage_size(id: &BlogMeta, size: &str) -> String {
    let patch = format!(r#"{{"spec":{{"database":{{"managed":{{"storage":{{"size":"{size}"}}}}}}}}}}"#);
    format!("kubectl patch fb {} -n {} --type=merge -p '{patch}'", id.name, id.namespace)
}

/// Scales MySQL. The operator doesn't scale it while its volume is at risk.
fn scale_mysql(id: &BlogMeta, replicas: u8) -> String {
    let set = Child::Database.name(&id.name);
    format!("kubectl scale statefulset {set} -n {} --replicas={replicas}", id.namespace)
}

/// Keeps a volume although its PVC is being deleted.
#[must_use]
pub fn keep_volume(id: &BlogMeta, volume: &str) -> String {
    let policy = r#"{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}"#;
    format!("1. kubectl patch pv {volume} -p '{policy}' 2. {}", scale_mysql(id, 0))
}

/// Deletes the PVC that replaced the one with the data.
#[must_use]
pub fn delete_claim(id: &BlogMeta) -> String {
    format!("kubectl delete pvc {} -n {}", data_claim(&id.name), id.namespace)
}

/// Deletes MySQL's pod.
#[must_use]
pub fn delete_pod(id: &BlogMeta) -> String {
    format!("kubectl delete pod {} -n {}", database_pod(&id.name), id.namespace)
}

/// Kind, name and namespace of a child as kubectl arguments.
fn child(id: &BlogMeta, role: Child) -> String {
    object(id, &role.kind().api_resource(), &role.name(&id.name))
}

/// Kind, name and namespace of any object as kubectl arguments.
fn object(id: &BlogMeta, kind: &ApiResource, name: &str) -> String {
    let group = if kind.group.is_empty() { String::new() } else { format!(".{}", kind.group) };
    format!("{}{group} {name} -n {}", kind.plural, id.namespace)
}

/// Shows a child.
#[must_use]
pub fn get_object(id: &BlogMeta, role: Child) -> String {
    format!("kubectl get {} -o yaml", child(id, role))
}

/// Writes a copy of a Secret to a file.
#[must_use]
pub fn save_secret(id: &BlogMeta, role: Child) -> String {
    format!("{} | (umask 077 && cat >{}.yaml)", get_object(id, role), role.name(&id.name))
}

/// Makes an immutable Secret writable and saves a copy to a file.
#[must_use]
pub fn make_secret_writable(id: &BlogMeta, name: &str) -> String {
    format!(
        "kubectl get secret {name} -n {} -o yaml | sed /^immutable:/d | (umask 077 && cat >{name}.yaml); \
         kubectl replace --force -n {} -f {name}.yaml",
        id.namespace, id.namespace
    )
}

/// Removes the finalizers of a child that is being deleted.
#[must_use]
pub fn remove_finalizers(id: &BlogMeta, role: Child) -> String {
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    format!("kubectl patch {} --type=merge -p '{patch}'", child(id, role))
}

/// Binds a released volume to the PVC that the StatefulSet creates.
#[must_use]
pub fn bind_volume(id: &BlogMeta, volume: &str, has_other_claim: bool) -> String {
    let release = format!("{}; {}; ", scale_mysql(id, 0), delete_claim(id));
    let patch = r#"[{"op":"remove","path":"/spec/claimRef/uid"},{"op":"remove","path":"/spec/claimRef/resourceVersion"}]"#;
    let bind = format!("kubectl patch pv {volume} --type=json -p '{patch}'; {}", scale_mysql(id, 1));
    if has_other_claim { release + &bind } else { bind }
}

/// Opens the FlaskBlog in an editor.
#[must_use]
pub fn edit_blog(id: &BlogMeta) -> String {
    format!("kubectl edit fb {} -n {}", id.name, id.namespace)
}

/// Shows a pod with its Events.
#[must_use]
pub fn describe_pod(id: &BlogMeta, pod: &str) -> String {
    format!("kubectl describe pod {pod} -n {}", id.namespace)
}

/// Shows why the data's PVC is unbound.
#[must_use]
pub fn describe_claim(id: &BlogMeta) -> String {
    format!("kubectl describe pvc {} -n {}", data_claim(&id.name), id.namespace)
}

/// Shows the quotas and limits of the namespace.
#[must_use]
pub fn describe_limits(id: &BlogMeta) -> String {
    format!("kubectl describe resourcequota,limitrange -n {}", id.namespace)
}

/// Shows the network policies that apply to the pods.
#[must_use]
pub fn describe_network_policies(id: &BlogMeta) -> String {
    format!("kubectl describe networkpolicies -n {}", id.namespace)
}

/// Shows the end of a container's log. `pod` may be `deployment/NAME`.
#[must_use]
pub fn logs(id: &BlogMeta, pod: &str, container: &str) -> String {
    format!("kubectl logs {pod} -n {} -c {container} --tail=50", id.namespace)
}

/// Restarts every replica, which runs the migration.
#[must_use]
pub fn restart_replicas(id: &BlogMeta) -> String {
    format!("kubectl rollout restart deployment {} -n {}", Child::App.name(&id.name), id.namespace)
}

/// Deletes one of the blog's Secrets.
#[must_use]
pub fn delete_secret(id: &BlogMeta, role: Child) -> String {
    format!("kubectl delete secret {} -n {}", role.name(&id.name), id.namespace)
}

/// Ends all pods of the blog before one starts again.
#[must_use]
pub fn hibernate_and_wake(id: &BlogMeta) -> String {
    let (name, namespace) = (&id.name, &id.namespace);
    let hibernate = |is_set: bool| {
        format!(
            "kubectl patch fb {name} -n {namespace} --type=merge -p '{{\"spec\":{{\"hibernate\":{is_set}}}}}'"
        )
    };
    let ended = format!("kubectl wait fb/{name} -n {namespace} --for=condition=Hibernated --timeout=10m");
    [hibernate(true), ended, hibernate(false)].join("; ")
}

/// Grants one permission in the blog's namespace. `resource` may name a subresource after a slash.
#[must_use]
pub fn grant(id: &BlogMeta, user: &str, verb: &str, resource: &str, group: &str) -> String {
    let (plural, sub) = resource.split_once('/').unwrap_or((resource, ""));
    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
    let sub = if sub.is_empty() { String::new() } else { format!("/{sub}") };
    let (name, namespace) = (format!("{MANAGER}:{verb}:{}", resource.replace('/', ":")), &id.namespace);
    format!(
        "kubectl create role {name} -n {namespace} --verb={verb} --resource={plural}{group}{sub}; \
         kubectl create rolebinding {name} -n {namespace} --role={name} --user={user}"
    )
}

/// Recreates the database's Secret from the files of MySQL's pod.
///
/// No password appears in an argument.
#[must_use]
pub fn restore_secret(id: &BlogMeta) -> String {
    let (pod, namespace, secret) =
        (database_pod(&id.name), &id.namespace, Child::DatabaseSecret.name(&id.name));
    let labels = [("managed-by", MANAGER), ("name", APP_NAME), ("instance", &id.name)]
        .map(|(key, value)| format!("    app.kubernetes.io/{key}: {value}\\n"))
        .concat();
    let keys =
        ["root-password", "password", "username", "database"].map(|key| format!("  {key}: %s\\n")).concat();
    let values = "$(base64 -w0 root-password) $(base64 -w0 password) $(printf %s \"$MYSQL_USER\" | base64 -w0) \
                  $(printf %s \"$MYSQL_DATABASE\" | base64 -w0)";
    format!(
        "kubectl exec -n {namespace} {pod} -c mysql -- bash -c 'cd /etc/mysql-credentials; printf \"apiVersion: v1\\nkind: \
         Secret\\nmetadata:\\n  name: {secret}\\n  labels:\\n{labels}data:\\n{keys}\" {values}' | kubectl apply -n {namespace} -f -"
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs the in-pod part on files laid out as there.
    #[test]
    fn restored_secret_holds_the_files_and_variables() {
        let id =
            BlogMeta { namespace: "press".into(), name: "daily".into(), uid: "1".into(), generation: None };
        let folder = std::env::temp_dir().join(format!("restore-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("root-password"), "it's \"odd\" $HOME").unwrap();
        std::fs::write(folder.join("password"), "p").unwrap();
        let command = restore_secret(&id);
        let inner = command.split_once("bash -c '").unwrap().1.split_once("' | kubectl apply").unwrap().0;
        let inner = inner.replace("/etc/mysql-credentials", folder.to_str().unwrap());
        let made = Command::new("bash")
            .args(["-c", &inner])
            .envs([("MYSQL_USER", "flaskr"), ("MYSQL_DATABASE", "posts")])
            .output()
            .unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        let secret: k8s_openapi::api::core::v1::Secret =
            serde_yaml::from_str(&String::from_utf8(made.stdout).unwrap()).unwrap();
        assert_eq!(secret.metadata.name.as_deref(), Some("daily-mysql"));
        assert_eq!(secret.metadata.labels.unwrap()["app.kubernetes.io/instance"], "daily");
        let data = secret.data.unwrap();
        let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
        assert_eq!(text("root-password"), "it's \"odd\" $HOME");
        assert_eq!(
            (text("password"), text("username"), text("database")),
            ("p".into(), "flaskr".into(), "posts".into())
        );
    }
}
