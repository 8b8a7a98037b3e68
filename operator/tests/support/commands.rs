//! The kubectl commands of a condition's message.

/// Every command of a message. An unquoted end of the clause ends a command.
pub fn commands(message: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = message;
    while let Some(start) = rest.find("kubectl ") {
        let command = &rest[start..];
        let end = end_of(command);
        found.push(command[..end].trim_end_matches('.').to_owned());
        rest = &command[end..];
    }
    found
}

fn end_of(command: &str) -> usize {
    let mut is_quoted = false;
    for (at, character) in command.char_indices() {
        match character {
            '\'' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            ';' | ')' => return at,
            ',' | '.' if command[at + 1..].starts_with(' ') => return at,
            // The number of the next step.
            ' ' if command[at + 1..].starts_with(|next: char| next.is_ascii_digit())
                && command[at + 2..].starts_with(". ") =>
            {
                return at;
            }
            _ => {}
        }
    }
    command.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_end_with_their_clause_outside_of_quotes() {
        let message = "keep it: 1. kubectl patch pv v -p '{\"a\": 1, \"b\": 2}' 2. kubectl scale x --replicas=0; see (kubectl get \
                       pv,pvc v), or: kubectl annotate fb a -n b k=9.7 --overwrite";
        let expected = [
            "kubectl patch pv v -p '{\"a\": 1, \"b\": 2}'",
            "kubectl scale x --replicas=0",
            "kubectl get pv,pvc v",
            "kubectl annotate fb a -n b k=9.7 --overwrite",
        ];
        assert_eq!(commands(message), expected);
    }
}
