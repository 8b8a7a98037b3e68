//! A blog's objects by role, as desired or as applied.

use std::{collections::BTreeMap, marker::PhantomData, sync::Arc};

use flaskblog_api::Child;
use kube::api::DynamicObject;

/// Objects as we want them.
#[derive(Clone, Copy, Debug)]
pub struct Desired;
/// Objects as the API server has them after this reconcile.
#[derive(Clone, Copy, Debug)]
pub struct Applied;

/// A blog's objects. Shared, as what is there is looked at from many sides and never changed in place.
pub type ByRole = BTreeMap<Child, Arc<DynamicObject>>;

/// A blog's objects by role. The marker proves which of the two they are, so that a status can't be computed from wishes.
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

    /// All of them in apply order.
    pub fn iter(&self) -> impl Iterator<Item = (Child, &DynamicObject)> {
        self.by_role.iter().map(|(role, object)| (*role, object.as_ref()))
    }
}

impl Objects<Desired> {
    /// What the plan asks for.
    #[must_use]
    pub fn desired(by_role: ByRole) -> Self {
        Self { by_role, stage: PhantomData }
    }
}

impl Objects<Applied> {
    /// What the API server answered.
    #[must_use]
    pub fn applied(by_role: ByRole) -> Self {
        Self { by_role, stage: PhantomData }
    }

    /// All of them.
    #[must_use]
    pub fn by_role(&self) -> &ByRole {
        &self.by_role
    }
}
