//! Step 2 (no client required): the spec and what exists become a [`Plan`], or a reason why not.

use flaskblog_api::{
    Child, DeletionPolicy, FlaskBlog, ImagePullPolicy, Resources, Service, Storage,
    children::{APP_NAME, DEFAULT_IMAGE, DESIRED_HASH, MANAGER, data_claim},
};
use kube::{ResourceExt, api::DynamicObject};

use crate::{
    compare::same_quantity, config::Settings, error::Invalid, identity::Identity, observe::Observed,
};

/// What we mean: everything that the builders need, and nothing that they could misuse.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Who the blog is.
    pub id: Identity,
    /// The blog.
    pub app: AppPlan,
    /// Its database.
    pub database: DatabasePlan,
    /// Whether data and credentials outlive the resource.
    pub deletion_policy: DeletionPolicy,
}

/// The web application.
#[derive(Clone, Debug, PartialEq)]
pub struct AppPlan {
    /// How many pods.
    pub replicas: i32,
    /// Which image.
    pub image: String,
    /// The default image that the blog was first given, if the spec names none.
    pub default_image: Option<String>,
    /// When nodes pull it.
    pub image_pull_policy: ImagePullPolicy,
    /// Title in the page header.
    pub title: String,
    /// How it is reached.
    pub service: Service,
    /// What each pod may use, if the user said so.
    pub resources: Option<Resources>,
}

/// The managed MySQL.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabasePlan {
    /// Which image.
    pub image: String,
    /// Its volume.
    pub storage: Storage,
    /// What it may use, if the user said so.
    pub resources: Option<Resources>,
}

/// Turns the spec into a plan.
///
/// # Errors
/// [`Invalid`] when an object is in the way, still going away, or when the data's passwords are missing.
pub fn validate(
    blog: &FlaskBlog,
    id: &Identity,
    observed: &Observed,
    settings: &Settings,
) -> Result<Plan, Invalid> {
    for (role, object) in &observed.children {
        check_ownership(id, *role, object)?;
    }
    check_claim(id, observed, &blog.spec.database.managed.storage)?;
    check_credentials(id, observed)?;
    let spec = &blog.spec;
    let (image, default_image) = app_image(blog, observed, &settings.blog_image);
    Ok(Plan {
        id: id.clone(),
        app: AppPlan {
            replicas: spec.replicas,
            image,
            default_image,
            image_pull_policy: spec.image_pull_policy,
            title: spec.title.clone(),
            service: spec.service.clone(),
            resources: spec.resources.clone(),
        },
        database: DatabasePlan {
            image: spec.database.managed.image.clone(),
            storage: spec.database.managed.storage.clone(),
            resources: spec.database.managed.resources.clone(),
        },
        deletion_policy: spec.deletion_policy,
    })
}

/// The image that the spec names; else the default one that this blog got when it was made, which its Deployment
/// remembers, and where somebody has deleted that, its status; else the one of this release. So a new operator release
/// restarts no blog by itself.
fn app_image(blog: &FlaskBlog, observed: &Observed, release: &str) -> (String, Option<String>) {
    if let Some(image) = &blog.spec.image {
        return (image.clone(), None);
    }
    let remembered = match observed.children.get(&Child::App) {
        Some(deployment) => deployment.annotations().get(DEFAULT_IMAGE),
        None => blog.status.as_ref().and_then(|status| status.image.as_ref()),
    };
    let image = remembered.map_or(release, String::as_str);
    (image.to_owned(), Some(image.to_owned()))
}

/// Whether an object that bears a child's name is this blog's, on its way out, or a stranger's.
///
/// Ours is what names this blog as its controller. What has no controller at all is ours if it carries our labels:
/// Secrets and whatever `kubectl delete --cascade=orphan` left behind are taken up again. Everything else is left alone.
fn check_ownership(id: &Identity, role: Child, object: &DynamicObject) -> Result<(), Invalid> {
    let kind = role.kind().api_resource().kind;
    let name = role.name(&id.name);
    let controller = object.owner_references().iter().find(|owner| owner.controller == Some(true));
    let ours = match controller {
        Some(owner) if owner.uid == id.uid => true,
        Some(owner) if owner.kind == "FlaskBlog" && owner.name == id.name => {
            return Err(Invalid::WaitingForCleanup { kind, name });
        }
        Some(_) => false,
        None => carries_our_mark(id, object),
    };
    match (ours, &object.metadata.deletion_timestamp) {
        (true, Some(_)) => Err(Invalid::WaitingForCleanup { kind, name }),
        (true, None) => Ok(()),
        // Never advise to delete a Secret: it may hold the only copy of a password.
        (false, _) if role.outlives_the_blog() => {
            Err(Invalid::UnmarkedSecret { name, blog: id.name.clone() })
        }
        (false, _) => Err(Invalid::NameConflict { kind, name }),
    }
}

/// Whether the claim that MySQL would take is this blog's and of use.
///
/// A stranger's database may have left one of just this name. And one of another class or size than the spec's that was
/// never given a volume, usually since there is no such class, waits for ever: MySQL's pod would wait with it.
fn check_claim(id: &Identity, observed: &Observed, wanted: &Storage) -> Result<(), Invalid> {
    let Some(claim) = &observed.data_claim else { return Ok(()) };
    if observed.children.contains_key(&Child::Database) {
        return Ok(());
    }
    let name = data_claim(&id.name);
    let label = |key: &str| claim.labels().get(&format!("app.kubernetes.io/{key}")).map(String::as_str);
    if label("name") != Some(APP_NAME) || label("instance") != Some(&id.name) {
        return Err(Invalid::UnmarkedClaim { name, blog: id.name.clone() });
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

/// Our labels; or, where somebody has changed those of a kept Secret, the hash that only we write.
fn carries_our_mark(id: &Identity, object: &DynamicObject) -> bool {
    object.annotations().contains_key(DESIRED_HASH) || carries_our_labels(id, object)
}

fn carries_our_labels(id: &Identity, object: &DynamicObject) -> bool {
    let label = |key: &str| object.labels().get(&format!("app.kubernetes.io/{key}")).map(String::as_str);
    label("managed-by") == Some(MANAGER)
        && label("name") == Some(APP_NAME)
        && label("instance") == Some(id.name.as_str())
}

/// Never makes a new password for old data: the server would refuse it, and the way back would be lost.
fn check_credentials(id: &Identity, observed: &Observed) -> Result<(), Invalid> {
    let Some(claim) = &observed.data_claim else { return Ok(()) };
    let name = data_claim(&id.name);
    if claim.metadata.deletion_timestamp.is_some() && !observed.children.contains_key(&Child::Database) {
        return Err(Invalid::WaitingForCleanup { kind: "PersistentVolumeClaim".into(), name });
    }
    if observed.children.contains_key(&Child::DatabaseSecret) {
        return Ok(());
    }
    Err(Invalid::CredentialsMissing { secret: Child::DatabaseSecret.name(&id.name), claim: name })
}
