//! Explains contested objects: which manager changes which field.

use flaskblog_api::{Child, OwnedKind, children::MANAGER};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::{Value, json};
use tracing::debug;

use crate::{
    context::Context,
    k8s::api::child_api,
    model::{blog_meta::BlogMeta, semantic_eq::is_subset},
};

/// Largest number of autoscalers that are searched in one namespace.
const AUTOSCALERS: u32 = 100;

/// Finds the manager that creates an unwanted object (client required). It isn't named after a failed read.
pub async fn explain_deletion(ctx: &Context, id: &BlogMeta, role: Child, observed: &DynamicObject) {
    let version = observed.resource_version();
    if ctx.contests.is_explained(&id.uid, role, version.as_deref()) {
        return;
    }
    let (kind, name) = (role.kind().api_resource(), role.name(&id.name));
    let live = child_api::<DynamicObject>(&ctx.client.0, id, role.kind()).get_metadata_opt(&name).await;
    let Ok(live) = live.inspect_err(|error| debug!(name, %error, "failed to read a contested object")) else {
        return;
    };
    let words = format!(
        "{manager} keeps creating {kind} {name}, which the FlaskBlog doesn't ask for, so it is deleted ever more rarely: end that; \
         this names its managers: kubectl get {plural} {name} --namespace {namespace} --show-managed-fields --output yaml",
        manager =
            live.as_ref().and_then(|live| manager(live.managed_fields(), &[])).unwrap_or("another program"),
        kind = kind.kind,
        plural = kind.plural,
        namespace = id.namespace,
    );
    ctx.contests.explain(&id.uid, role, version, words, true);
}

/// Finds the contested field of the object and its manager (client required). Neither is named after a failed read.
pub async fn explain(
    ctx: &Context,
    id: &BlogMeta,
    role: Child,
    wanted: &DynamicObject,
    observed: Option<&DynamicObject>,
) {
    // The other manager may go on to another field of the object.
    let version = observed.and_then(ResourceExt::resource_version);
    if ctx.contests.is_explained(&id.uid, role, version.as_deref()) {
        return;
    }
    let (kind, name) = (role.kind().api_resource(), role.name(&id.name));
    let live = match role.kind() {
        // Only metadata of a Secret is ever read.
        OwnedKind::Secret => Ok(None),
        kind => child_api::<DynamicObject>(&ctx.client.0, id, kind).get_opt(&name).await,
    };
    let Ok(live) = live.inspect_err(|error| debug!(name, %error, "failed to read a contested object")) else {
        return;
    };
    let path = live.as_ref().and_then(|live| first_difference(live, wanted));
    let autoscaler = match path.as_deref() {
        Some([spec, field]) if role == Child::App && spec == "spec" && field == "replicas" => {
            autoscaler(ctx, id).await
        }
        _ => None,
    };
    let affects_spec =
        path.as_deref().is_none_or(|path| path.first().is_none_or(|first| first != "metadata"));
    let words = match (live, path, autoscaler) {
        (_, _, Some(autoscaler)) => format!(
            "HorizontalPodAutoscaler {autoscaler} scales Deployment {name}, whose replicas follow the FlaskBlog: point its \
             scaleTargetRef at FlaskBlog {blog}, or delete it and set spec.autoscaling: kubectl delete \
             horizontalpodautoscaler {autoscaler} --namespace {namespace}",
            blog = id.name,
            namespace = id.namespace,
        ),
        (Some(live), Some(path), None) => format!(
            "{manager} keeps changing {path} of {kind} {name}, so it is written back ever more rarely: end that change; \
             this names its managers: kubectl get {plural} {name} --namespace {namespace} --show-managed-fields --output yaml",
            manager = manager(live.managed_fields(), &path).unwrap_or("another program"),
            path = path.join("."),
            kind = kind.kind,
            plural = kind.plural,
            namespace = id.namespace,
        ),
        // kubectl refuses to watch a deleted object by its name alone.
        _ => format!(
            "another program keeps changing or deleting {kind} {name}, so it is written back ever more rarely: end that; \
             this shows it: kubectl get {plural} --namespace {namespace} --field-selector metadata.name={name} --watch",
            kind = kind.kind,
            plural = kind.plural,
            namespace = id.namespace,
        ),
    };
    ctx.contests.explain(&id.uid, role, version, words, affects_spec);
}

/// Another autoscaler that scales the blog's Deployment, if there is one.
async fn autoscaler(ctx: &Context, id: &BlogMeta) -> Option<String> {
    let api = child_api::<DynamicObject>(&ctx.client.0, id, OwnedKind::HorizontalPodAutoscaler);
    let all = api.list(&ListParams::default().limit(AUTOSCALERS)).await.ok()?;
    let name = Child::App.name(&id.name);
    let target = |one: &DynamicObject| {
        let target = &one.data["spec"]["scaleTargetRef"];
        target["kind"] == "Deployment" && target["name"] == *name
    };
    all.items.into_iter().find(target).map(|one| one.name_any())
}

/// The path of the first differing field, spec first.
fn first_difference(live: &DynamicObject, wanted: &DynamicObject) -> Option<Vec<String>> {
    let metadata = |object: &DynamicObject| {
        json!({"metadata": {"labels": object.labels(), "annotations": object.annotations(),
            "ownerReferences": object.owner_references()}})
    };
    difference(&live.data, &wanted.data).or_else(|| difference(&metadata(live), &metadata(wanted)))
}

fn difference(live: &Value, wanted: &Value) -> Option<Vec<String>> {
    if is_subset(live, wanted) {
        return None;
    }
    let below = |key: &str, live: &Value, wanted: &Value| {
        let rest = difference(live, wanted)?;
        Some(std::iter::once(key.to_owned()).chain(rest).collect())
    };
    let found = match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().find_map(|(key, value)| below(key, live.get(key).unwrap_or(&Value::Null), value))
        }
        (Value::Array(live), Value::Array(wanted)) => wanted.iter().find_map(|item| {
            let name = item["name"].as_str()?;
            below(name, live.iter().find(|other| other["name"] == *name)?, item)
        }),
        _ => None,
    };
    Some(found.unwrap_or_default())
}

/// The manager of the field or of its nearest parent. The newest one wins.
fn manager<'a>(entries: &'a [ManagedFieldsEntry], path: &[String]) -> Option<&'a str> {
    let others = entries
        .iter()
        .filter(|entry| entry.manager.as_deref().is_some_and(|name| !name.starts_with(MANAGER)));
    let depth =
        |entry: &ManagedFieldsEntry| entry.fields_v1.as_ref().map_or(0, |fields| depth(&fields.0, path));
    let best = others.max_by_key(|entry| (depth(entry), entry.time.as_ref().map(|time| time.0)))?;
    best.manager.as_deref()
}

/// Length of the path's prefix within a field set.
///
/// A field set has keys `f:NAME`, and `k:{"name":"NAME"}` in lists.
fn depth(fields: &Value, path: &[String]) -> usize {
    let (Some((first, rest)), Some(fields)) = (path.split_first(), fields.as_object()) else { return 0 };
    let in_list = format!("\"{first}\"");
    let below = fields.get(&format!("f:{first}")).or_else(|| {
        fields.iter().find(|(key, _)| key.starts_with("k:") && key.contains(&in_list)).map(|(_, below)| below)
    });
    below.map_or(0, |below| 1 + depth(below, rest))
}

#[cfg(test)]
mod tests {
    use flaskblog_api::children::DESIRED_HASH;

    use super::*;

    fn object(spec: Value) -> DynamicObject {
        let object =
            json!({"metadata": {"name": "x", "annotations": {DESIRED_HASH: spec.to_string()}}, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_contested_field_is_named_with_the_manager_that_holds_it() {
        let template = |image: &str| json!({"template": {"containers": [{"name": "blog", "image": image}]}});
        let path = first_difference(&object(template("a")), &object(template("b"))).unwrap();
        assert_eq!(path, ["spec", "template", "containers", "blog", "image"]);
        let fields =
            json!({"f:spec": {"f:template": {"f:containers": {"k:{\"name\":\"blog\"}": {"f:image": {}}}}}});
        let entries: Vec<ManagedFieldsEntry> = serde_json::from_value(json!([
            {"manager": "kubectl", "operation": "Update", "time": "2026-02-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "policy", "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": fields},
            {"manager": MANAGER, "operation": "Apply", "time": "2026-03-01T00:00:00Z", "fieldsV1": fields},
        ]))
        .unwrap();
        assert_eq!(manager(&entries, &path), Some("policy"));
        let labels = |value: &str| {
            let object = json!({"metadata": {"name": "x", "labels": {"team": value}}, "spec": {}});
            serde_json::from_value::<DynamicObject>(object).unwrap()
        };
        assert_eq!(first_difference(&labels("a"), &labels("b")).unwrap(), ["metadata", "labels", "team"]);
    }
}
