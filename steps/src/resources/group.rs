//! A group.

use anyhow::Result;
use distro::accounts;
use serde_json::Value;

use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo, UndoCx, Undone};

/// A group. One that is there stays as it is.
#[derive(Clone, Debug)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Does a new one get a number from the range for services?
    pub system: bool,
    /// When it is its turn.
    pub stage: Stage,
}

impl Resource for Group {
    fn sort(&self) -> &'static str {
        "group"
    }

    fn key(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn claims(&self) -> Vec<Claim> {
        vec![claim(&self.name)]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        Ok(match cx.look.group(&self.name)? {
            Some(_) => Probe::InPlace(Value::Null),
            None => Probe::Changes(vec![create("group", &self.name)]),
        })
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        accounts::create_group(cx.host, &self.name, self.system)
    }
}

/// That the group is there is all that anybody wants of it.
pub(super) fn claim(name: &str) -> Claim {
    Claim { thing: format!("group:{name}"), wants: b"group".to_vec() }
}

/// The change that makes a group.
pub(super) fn create(item: &str, name: &str) -> Change {
    Change::new(item, format!("create group {name}"), Undo::RemoveGroup { name: name.to_owned() })
}

/// A group was made: removed, unless somebody else is in it.
pub(crate) fn undo_remove(cx: &UndoCx<'_>, name: &str) -> Result<Undone> {
    let Some(group) = cx.look.group(name)? else { return Ok(Undone::Gone) };
    // Members that are gone themselves do not count.
    for member in &group.members {
        if !cx.purge && cx.look.user(member)?.is_some() {
            return Ok(Undone::Kept(format!("group {name} has got user {member} as a member")));
        }
    }
    Ok(if accounts::delete_group(cx.host, name)? {
        Undone::Done(format!("removed group {name}"))
    } else {
        Undone::Gone
    })
}
