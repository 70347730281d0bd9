//! What is installed, and what an uninstall is about to take away, for people.

use std::collections::BTreeMap;

use serde::Serialize;

use super::line::named;
use super::plan::{Answer, PlanTold};
use super::plan_view::{Options, plan_view};
use super::style::{Style, columns, padded};
use crate::engine::state::Item;

/// A product on this host.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct StatusTold {
    /// Name.
    pub product: String,
    /// What the last run was, how it ended, and its id: `install done (20260102T030405-7)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// False where it was uninstalled and its data kept.
    pub installed: bool,
    /// Each resource, and whether it is as it was installed: `in_place`. There where the product is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanTold>,
}

impl StatusTold {
    /// Is something not as it was installed?
    pub fn differs(&self) -> bool {
        self.plan.iter().any(|plan| not_in_place(plan) > 0)
    }
}

fn not_in_place(plan: &PlanTold) -> usize {
    plan.steps.iter().flat_map(|step| &step.resources).filter(|resource| resource.answer != Answer::InPlace).count()
}

/// `products` as text, ending in a line end.
pub fn status_view(products: &[StatusTold], options: &Options) -> String {
    if products.is_empty() {
        return "surefoot has installed nothing on this host\n".to_owned();
    }
    let mut text = String::new();
    for told in products {
        if !text.is_empty() {
            text.push('\n');
        }
        let last = format!("  last run: {}\n", told.last.as_deref().unwrap_or("none"));
        match &told.plan {
            None => text.push_str(&format!("{}: not installed\n{last}", told.product)),
            Some(plan) if !told.differs() => {
                text.push_str(&format!("{}: as installed, {}\n{last}", told.product, plan.counts.in_words()));
            }
            Some(plan) => {
                text.push_str(&format!("{}: differs from what was installed\n{last}\n", told.product));
                text.push_str(&plan_view(plan, options));
            }
        }
    }
    text
}

/// What an uninstall takes away, as text: a line a resource, ending in a line end. Packages of `staying` are kept, each with why.
pub fn undo_view(
    product: &str,
    parts: &[(String, Item)],
    staying: &BTreeMap<String, String>,
    purge: bool,
    style: &Style,
) -> String {
    if parts.is_empty() {
        return format!("nothing that surefoot made for '{product}' is left on this host\n");
    }
    let mut lines = vec![format!("takes away what was made for '{product}':")];
    for part in parts.chunk_by(|one, other| one.0 == other.0) {
        let resource = &part[0].0;
        let step = resource.split('/').next().unwrap_or_default();
        let items = part.iter().map(|(_, item)| {
            let package = item.item.strip_prefix("package ");
            let why = package.and_then(|name| staying.get(name)).map(String::as_str);
            let kept = why.or((item.data && !purge).then_some("data")).map(|why| format!(" ({why}: kept)"));
            format!("{}{}", package.unwrap_or(&item.item), kept.unwrap_or_default())
        });
        // What a file or a folder consists of goes with it.
        let of_itself = ["content", "folder", "target", "key", "absent", "index"];
        let items: Vec<String> = items.filter(|item| !of_itself.contains(&item.as_str())).collect();
        let head = format!("  {} {}", padded(step, 16), named(resource, step));
        let whole = if items.is_empty() { head.clone() } else { format!("{head}: {}", items.join(", ")) };
        if items.is_empty() || columns(&whole) <= style.width {
            lines.push(whole);
        } else {
            lines.push(head + ":");
            let rows = style.wrap(&items.join(", "), style.width.saturating_sub(21));
            lines.extend(rows.iter().map(|row| format!("{:21}{row}", "")));
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uninstall_names_each_resource_once() {
        let part = |resource: &str, item: &str, data: bool| {
            let undo = steps::Undo::RemoveFile { path: "/x".to_owned() };
            (
                resource.to_owned(),
                Item { item: item.to_owned(), undo, data, wrote: Vec::new(), order: 0, going: false, left: false },
            )
        };
        let mut parts = vec![
            part("site/service:nginx.service", "running", false),
            part("site/service:nginx.service", "enabled", false),
            part("site/file:/etc/nginx/x.conf", "content", false),
            part("redis/directory:/var/lib/redis", "data", true),
        ];
        let names = ["nginx", "nginx-common", "redis-server", "redis-tools", "liblzf1", "libjemalloc2"];
        parts.extend(names.map(|name| part("redis/packages:all", &format!("package {name}"), false)));
        let style = Style { width: 70, colour: false, unicode: true };
        let expected = "\
takes away what was made for 'web':
  site             service nginx.service: running, enabled
  site             file /etc/nginx/x.conf
  redis            directory /var/lib/redis: data (data: kept)
  redis            packages:
                     nginx, nginx-common, redis-server, redis-tools,
                     liblzf1, libjemalloc2
";
        let staying = BTreeMap::new();
        assert_eq!(undo_view("web", &parts, &staying, false, &style), expected);
        assert!(!undo_view("web", &parts, &staying, true, &style).contains("kept"));
        let staying = [("liblzf1", "asked for since")].map(|(name, why)| (name.to_owned(), why.to_owned())).into();
        let view = undo_view("web", &parts, &staying, true, &style);
        assert!(view.contains("liblzf1 (asked for since: kept), libjemalloc2\n"), "{view}");
    }
}
