//! Classes, interfaces and named types, with what they declare.

use crate::lang::Node;
use crate::lang::ir::TypeDef;
use crate::lang::lower::{Lowering, children, span};

impl Lowering<'_> {
    pub(super) fn js_class(&mut self, node: Node<'_>) {
        let name = node.child_by_field_name("name").map_or("", |n| self.of(n)).to_owned();
        let mut bases: Vec<String> = Vec::new();
        for child in children(node) {
            match child.kind() {
                "decorator" => {
                    let text = self.of(child).to_owned();
                    bases.push(text);
                    self.js_all(child);
                }
                "class_heritage" => bases.push(self.of(child).to_owned()),
                _ => {}
            }
        }
        // `@Controller() export class X`: the decorator stands beside, under the export.
        if let Some(parent) = node.parent().filter(|p| p.kind() == "export_statement") {
            for child in children(parent).into_iter().filter(|n| n.kind() == "decorator") {
                bases.push(self.of(child).to_owned());
            }
        }
        let saved = self.class.replace(name.clone());
        let outer = std::mem::take(&mut self.own);
        let mut fields = Vec::new();
        let mut decorators = Vec::new();
        for child in node.child_by_field_name("body").into_iter().flat_map(children) {
            match child.kind() {
                "decorator" => decorators.extend(child.named_child(0).map(|inner| self.js(inner))),
                "method_definition" => {
                    self.js_function(child, None, std::mem::take(&mut decorators));
                }
                "public_field_definition" | "field_definition" => {
                    let named = child
                        .child_by_field_name("name")
                        .or_else(|| child.child_by_field_name("property"));
                    let declared = child.child_by_field_name("type").map_or("", |n| self.of(n));
                    let field = named.map_or("", |n| self.of(n)).to_owned();
                    fields
                        .push((field.clone(), declared.trim_start_matches(':').trim().to_owned()));
                    if let Some(value) = child.child_by_field_name("value") {
                        let value = self.js_named(value, named);
                        self.assign(field, value, None, span(child));
                    }
                    decorators.clear();
                }
                _ => {
                    self.js(child);
                }
            }
        }
        self.class = saved;
        for own in std::mem::replace(&mut self.own, outer) {
            if !fields.iter().any(|(name, _)| *name == own) {
                fields.push((own, String::new()));
            }
        }
        self.module.types.push(TypeDef { name, bases, fields, span: span(node) });
    }

    pub(super) fn js_interface(&mut self, node: Node<'_>) {
        let name = node.child_by_field_name("name").map_or("", |n| self.of(n)).to_owned();
        let body = node.child_by_field_name("body").or_else(|| node.child_by_field_name("value"));
        let fields =
            body.into_iter().flat_map(children).filter(|n| n.kind() == "property_signature");
        let fields = fields
            .map(|n| {
                let part =
                    |field| n.child_by_field_name(field).map_or("", |n: Node<'_>| self.of(n));
                (part("name").to_owned(), part("type").trim_start_matches(':').trim().to_owned())
            })
            .collect();
        self.module.types.push(TypeDef { name, bases: Vec::new(), fields, span: span(node) });
    }
}
