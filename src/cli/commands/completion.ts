/** Scripts that make shells complete our command lines. All knowledge is in `__complete`; they only ask it. */
import type { Command } from "../command.ts";

function shell(name: string, script: (program: string) => string): { command: Command } {
  return {
    command: {
      usage: "",
      short: `Generate the autocompletion script for ${name}`,
      args: { min: 0, max: 0 },
      flags: [{ name: "no-descriptions", type: "bool", usage: "disable completion descriptions" }],
      async run(ctx) {
        ctx.out(script(ctx.program));
        return 0;
      },
    },
  };
}

export const bash = shell(
  "bash",
  (program) => `# bash completion for ${program}
_${program}_complete() {
  local line
  local words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("$line")
  done < <(${program} __complete -- "\${words[@]}" 2>/dev/null)
  # A colon splits words in bash: what stands before it must not be repeated.
  if declare -F __ltrim_colon_completions >/dev/null; then
    __ltrim_colon_completions "\${COMP_WORDS[COMP_CWORD]}"
  fi
}
complete -o default -F _${program}_complete ${program}
`,
);

export const zsh = shell(
  "zsh",
  (program) => `#compdef ${program}
_${program}() {
  local -a candidates
  candidates=("\${(@f)$(${program} __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${candidates[1]}" ]]; then
    compadd -- "\${candidates[@]}"
  else
    _files
  fi
}
if [ "\${funcstack[1]}" = "_${program}" ]; then
  _${program} "$@"
else
  compdef _${program} ${program}
fi
`,
);

export const fish = shell(
  "fish",
  (program) => `# fish completion for ${program}
function __${program}_complete
    set -l words (commandline -opc)
    set -e words[1]
    ${program} __complete -- $words (commandline -ct) 2>/dev/null
end
complete -c ${program} -a '(__${program}_complete)'
`,
);
