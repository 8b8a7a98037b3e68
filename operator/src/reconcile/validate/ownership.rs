//! Ownership of objects with the names of a blog's children (no client required).

use flaskblog_api::{
    Child, FlaskBlog, Storage,
    children::{ALLOW_EMPTY, APP_NAME, DESIRED_HASH, MANAGER, SERVED_IMAGE, data_claim},
};
use k8s_openapi::{api::core::v1::PersistentVolumeClaim, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{ResourceExt, api::DynamicObject};

use crate::model::{
    blog_meta::BlogMeta,
    error::Invalid,
    kubectl::{
        allow_empty, delete_claim, delete_object, delete_pod, get_object, label_claim, label_secret,
        remove_claim_owner, remove_finalizers, restore_secret, save_secret,
    },
    observed::Observed,
    semantic_eq::same_quantity,
};

/// Moves unmanaged objects out of the blog's children.
///
/// # Errors
/// [`Invalid::WaitingForCleanup`] while an object of an earlier blog is being deleted: everything of this blog waits for it.
pub fn separate_foreign(id: &BlogMeta, observed: &mut Observed) -> Result<(), Invalid> {
    for (role, object) in &observed.children {
        match check_ownership(id, *role, object) {
            Ok(()) => {}
            Err(waiting @ Invalid::WaitingForCleanup { .. }) => return Err(waiting),
            Err(foreign) => drop(observed.foreign.insert(*role, foreign)),
        }
    }
    observed.children.retain(|role, _| !observed.foreign.contains_key(role));
    Ok(())
}

/// Whether an object with a child's name is this blog's.
///
/// An object is the blog's if its controller is this blog, or if it has no controller and this blog is an owner. One without
/// owners is the blog's if it carries the operator's labels. So Secrets and objects that `kubectl delete --cascade=orphan` left
/// behind are adopted. Everything else is left alone.
fn check_ownership(id: &BlogMeta, role: Child, object: &DynamicObject) -> Result<(), Invalid> {
    let kind = role.kind().api_resource().kind;
    let (name, namespace) = (role.name(&id.name), id.namespace.clone());
    let owners = || object.owner_references().iter();
    let controller = owners().find(|owner| owner.controller == Some(true));
    let ours = match controller.or_else(|| owners().find(|owner| owner.kind == "FlaskBlog")) {
        Some(owner) if owner.uid == id.uid => true,
        Some(owner) if owner.kind == "FlaskBlog" && owner.name == id.name => {
            return Err(Invalid::WaitingForCleanup { kind, name, namespace });
        }
        Some(_) => false,
        None => carries_our_mark(id, object),
    };
    if ours {
        return Ok(());
    }
    // Never advise to delete a Secret, since it may hold the only copy of a password.
    if role.outlives_the_blog() {
        let label = label_secret(id, &name);
        return Err(Invalid::UnmarkedSecret { name, label });
    }
    let delete = delete_object(id, &role.kind().api_resource(), &name);
    Err(Invalid::NameConflict { kind, name, delete })
}

/// Whether an object of this blog isn't being deleted.
pub(super) fn check_deletion(id: &BlogMeta, role: Child, object: &DynamicObject) -> Result<(), Invalid> {
    if object.metadata.deletion_timestamp.is_none() {
        return Ok(());
    }
    let (kind, name) = (role.kind().api_resource().kind, role.name(&id.name));
    let finalizers = match object.finalizers() {
        [] => String::new(),
        held => format!(" and waits for its finalizers ({})", held.join(", ")),
    };
    let advice = match (role, object.finalizers()) {
        // The deletion is irreversible and includes the data's passwords.
        (Child::DatabaseSecret, _) => format!("Keep a copy of its passwords now: {}", save_secret(id, role)),
        (_, []) => format!("Its pods end first: {}", get_object(id, role)),
        _ => format!("If the controller that set them is gone: {}", remove_finalizers(id, role)),
    };
    Err(Invalid::BeingDeleted { kind, name, finalizers, advice })
}

/// Whether the PVC that MySQL would mount is this blog's and usable.
///
/// An unmanaged database may have left one of the same name. An unbound PVC that differs from the spec's class or size usually
/// names a missing class. It stays pending for ever, and MySQL's pod with it.
pub(super) fn check_claim(id: &BlogMeta, observed: &Observed, wanted: &Storage) -> Result<(), Invalid> {
    let Some(claim) = &observed.data_claim else { return Ok(()) };
    if observed.children.contains_key(&Child::Database) {
        return Ok(());
    }
    let name = data_claim(&id.name);
    let label = |key: &str| claim.labels().get(&format!("app.kubernetes.io/{key}")).map(String::as_str);
    if label("name") != Some(APP_NAME) || label("instance") != Some(&id.name) {
        let label = label_claim(id, &name);
        return Err(Invalid::UnmarkedClaim { name, label });
    }
    let spec = claim.spec.clone().unwrap_or_default();
    let bound = spec.volume_name.is_some_and(|volume| !volume.is_empty());
    let size = spec.resources.and_then(|resources| resources.requests?.remove("storage"));
    let fits = size.is_none_or(|size| same_quantity(&size.0, &wanted.size))
        && (wanted.storage_class_name.is_none() || spec.storage_class_name == wanted.storage_class_name);
    if bound || fits || claim.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    Err(Invalid::UselessClaim { name, namespace: id.namespace.clone() })
}

/// Whether only the blog, its StatefulSet or its pod owns the PVC.
pub(super) fn check_claim_owners(id: &BlogMeta, observed: &Observed) -> Result<(), Invalid> {
    let Some(claim) = &observed.data_claim else { return Ok(()) };
    // A StatefulSet's retention policy sets it or its pods as owners.
    let is_foreign =
        |owner: &OwnerReference| !matches!(owner.kind.as_str(), "FlaskBlog" | "StatefulSet" | "Pod");
    let found = claim.owner_references().iter().enumerate().find(|(_, owner)| is_foreign(owner));
    let Some((position, owner)) = found else { return Ok(()) };
    let name = data_claim(&id.name);
    let remove = remove_claim_owner(id, &name, position, &owner.uid);
    Err(Invalid::OwnedClaim { owner: format!("{} {}", owner.kind, owner.name), name, remove })
}

/// Whether it has the operator's labels or hash.
///
/// The hash identifies a retained Secret with changed labels.
fn carries_our_mark(id: &BlogMeta, object: &DynamicObject) -> bool {
    object.annotations().contains_key(DESIRED_HASH) || carries_our_labels(id, object)
}

fn carries_our_labels(id: &BlogMeta, object: &DynamicObject) -> bool {
    let label = |key: &str| object.labels().get(&format!("app.kubernetes.io/{key}")).map(String::as_str);
    label("managed-by") == Some(MANAGER)
        && label("name") == Some(APP_NAME)
        && label("instance") == Some(id.name.as_str())
}

/// Refuses a new password for existing data.
///
/// MySQL would reject it, and the old one would be lost.
pub(super) fn check_credentials(blog: &FlaskBlog, id: &BlogMeta, observed: &Observed) -> Result<(), Invalid> {
    let Some(claim) = &observed.data_claim else { return Ok(()) };
    let name = data_claim(&id.name);
    let of_earlier_blog =
        |owner: &OwnerReference| owner.kind == "FlaskBlog" && owner.name == id.name && owner.uid != id.uid;
    let is_going =
        claim.metadata.deletion_timestamp.is_some() && !observed.children.contains_key(&Child::Database);
    if is_going || claim.owner_references().iter().any(of_earlier_blog) {
        let (kind, namespace) = ("PersistentVolumeClaim".into(), id.namespace.clone());
        return Err(Invalid::WaitingForCleanup { kind, name, namespace });
    }
    let secret = Child::DatabaseSecret;
    // A Secret of another owner has its own error.
    if observed.children.contains_key(&secret) || observed.foreign.contains_key(&secret) {
        return Ok(());
    }
    // A PVC that never served is empty: discarding it loses only an earlier volume's data.
    let has_served = claim.annotations().contains_key(SERVED_IMAGE);
    let is_given_up = claim.uid().is_some_and(|uid| blog.annotations().get(ALLOW_EMPTY) == Some(&uid));
    if !has_served && is_given_up {
        return Ok(());
    }
    let discard = discard_command(id, claim, has_served);
    Err(Invalid::CredentialsMissing {
        secret: secret.name(&id.name),
        claim: name,
        restore: restore_secret(id),
        discard,
    })
}

/// The next command to discard the data of a lost Secret.
fn discard_command(id: &BlogMeta, claim: &PersistentVolumeClaim, has_served: bool) -> String {
    if claim.metadata.deletion_timestamp.is_some() {
        return format!("{}, which the deleted claim waits for", delete_pod(id));
    }
    // The deletion completes only with the next command, which ends the pod.
    if has_served {
        delete_claim(id) + " --wait=false"
    } else {
        allow_empty(id, &claim.uid().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whose_an_object_is_its_controller_says_or_else_its_owner() {
        let blog = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "spec": {},
            "metadata": {"name": "daily", "namespace": "press", "uid": "1"}});
        let id = BlogMeta::of(&serde_json::from_value(blog).unwrap()).unwrap();
        let verdict = |kind: &str, uid: &str, controller: bool| {
            let owner = json!({"apiVersion": "x/v1", "kind": kind, "name": "daily", "uid": uid, "controller": controller});
            let object = json!({"metadata": {"name": "daily-mysql", "ownerReferences": [owner]}});
            check_ownership(&id, Child::Database, &serde_json::from_value(object).unwrap())
        };
        for controller in [true, false] {
            assert!(verdict("FlaskBlog", "1", controller).is_ok());
            let earlier = verdict("FlaskBlog", "0", controller);
            assert!(matches!(earlier, Err(Invalid::WaitingForCleanup { .. })), "{earlier:?}");
            let stranger = verdict("Cluster", "7", controller);
            assert!(matches!(stranger, Err(Invalid::NameConflict { .. })), "{stranger:?}");
        }
    }
}
