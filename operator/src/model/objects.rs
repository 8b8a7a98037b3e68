//! A blog's objects by role, as desired or as applied.

use std::{collections::BTreeMap, marker::PhantomData, sync::Arc};

use flaskblog_api::Child;
use kube::api::DynamicObject;

/// Marks objects of the plan.
#[derive(Clone, Copy, Debug)]
pub struct Desired;
/// Marks objects as the API server returned them in this reconcile.
#[derive(Clone, Copy, Debug)]
pub struct Applied;

/// A blog's objects, shared and never mutated.
pub type ByRole = BTreeMap<Child, Arc<DynamicObject>>;

/// A blog's objects by role.
///
/// The marker proves whether they are desired or applied, so a status can't be computed from desired ones.
#[derive(Clone, Debug)]
pub struct Objects<State> {
    by_role: ByRole,
    stage: PhantomData<State>,
}

impl<State> Objects<State> {
    /// The object of that role.
    #[must_use]
    pub fn get(&self, role: Child) -> Option<&DynamicObject> {
        self.by_role.get(&role).map(Arc::as_ref)
    }

    /// All objects in apply order.
    pub fn iter(&self) -> impl Iterator<Item = (Child, &DynamicObject)> {
        self.by_role.iter().map(|(role, object)| (*role, object.as_ref()))
    }
}

impl Objects<Desired> {
    /// Objects of the plan.
    #[must_use]
    pub fn desired(by_role: ByRole) -> Self {
        Self { by_role, stage: PhantomData }
    }

    /// The same with another object of that role.
    #[must_use]
    pub fn with(mut self, role: Child, object: Arc<DynamicObject>) -> Self {
        self.by_role.insert(role, object);
        self
    }
}

impl Objects<Applied> {
    /// Objects that the API server returned.
    #[must_use]
    pub fn applied(by_role: ByRole) -> Self {
        Self { by_role, stage: PhantomData }
    }

    /// All objects by role.
    #[must_use]
    pub fn by_role(&self) -> &ByRole {
        &self.by_role
    }
}
