//! What a module takes from others: `import` and `require`.

use crate::lang::Node;
use crate::lang::ir::Import;
use crate::lang::lower::{Lowering, children, span};

impl Lowering<'_> {
    pub(super) fn js_require(&mut self, name: Node<'_>, module: &str) {
        let whole = span(name);
        let mut push = |name: Option<&str>, alias: &str| {
            let import = Import {
                module: module.to_owned(),
                name: name.map(str::to_owned),
                alias: alias.to_owned(),
                span: whole,
            };
            self.module.imports.push(import);
        };
        if name.kind() == "object_pattern" {
            for child in children(name) {
                match child.kind() {
                    "shorthand_property_identifier_pattern" => {
                        let text = self.text.get(child.byte_range()).unwrap_or_default();
                        push(Some(text), text);
                    }
                    "pair_pattern" => {
                        let part = |field| {
                            let node = child.child_by_field_name(field)?;
                            self.text.get(node.byte_range())
                        };
                        if let (Some(key), Some(value)) = (part("key"), part("value")) {
                            push(Some(key), value);
                        }
                    }
                    _ => {}
                }
            }
        } else {
            push(None, self.text.get(name.byte_range()).unwrap_or_default());
        }
    }

    pub(super) fn js_import(&mut self, node: Node<'_>) {
        let whole = span(node);
        let Some(module) = node.child_by_field_name("source").map(|n| self.js_text(n)) else {
            return;
        };
        let before = self.module.imports.len();
        for clause in children(node).into_iter().filter(|n| n.kind() == "import_clause") {
            for child in children(clause) {
                match child.kind() {
                    "identifier" => {
                        let alias = self.of(child).to_owned();
                        let name = Some("default".to_owned());
                        self.module.imports.push(Import {
                            module: module.clone(),
                            name,
                            alias,
                            span: whole,
                        });
                    }
                    "namespace_import" => {
                        let alias = child.named_child(0).map_or("", |n| self.of(n)).to_owned();
                        self.module.imports.push(Import {
                            module: module.clone(),
                            name: None,
                            alias,
                            span: whole,
                        });
                    }
                    _ => {
                        for one in children(child) {
                            let name = one
                                .child_by_field_name("name")
                                .map_or("", |n| self.of(n))
                                .to_owned();
                            let alias =
                                one.child_by_field_name("alias").map(|n| self.of(n).to_owned());
                            let alias = alias.unwrap_or_else(|| name.clone());
                            let import = Import {
                                module: module.clone(),
                                name: Some(name),
                                alias,
                                span: whole,
                            };
                            self.module.imports.push(import);
                        }
                    }
                }
            }
        }
        if self.module.imports.len() == before {
            self.module.imports.push(Import {
                module,
                name: None,
                alias: String::new(),
                span: whole,
            });
        }
    }
}
