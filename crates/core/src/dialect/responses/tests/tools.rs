//! Tools of other dialects, and what they can be made to do.

use super::*;
use crate::chat::{Extras, Tool, ToolChoice, ToolKind};

#[test]
fn grammars_have_the_form_of_either_dialect() {
    let format = json!({"type": "grammar", "syntax": "regex", "definition": "[A-Z]+"});
    let kind = ToolKind::Custom { name: "sql".into(), description: None, format: Some(format.clone()) };
    let mut request = foreign(Dialect::OpenAi);
    request.tools.push(Tool { kind, cache: None, extras: Extras::new() });
    same(&encoded(&request).0["tools"][0]["format"], &format, "format");
}

#[test]
fn what_is_not_offered_cannot_be_forced() {
    for tool_choice in [ToolChoice::Tool("search".into()), ToolChoice::Required] {
        let mut request = Request { tool_choice: Some(tool_choice), ..foreign(Dialect::Anthropic) };
        let kind = ToolKind::Native(json!({"type": "search", "name": "search"}));
        request.tools.push(Tool { kind, cache: None, extras: Extras::new() });
        let refused = encode(&request, &target()).expect_err("it cannot be forced");
        assert_eq!(refused.field, "tool_choice");
    }
}
