/** Line of "gcsctl __complete" that asks the shell for file names. */
export const FILES = ':files';

export type Shell = 'bash' | 'zsh' | 'fish';

/** Each hands the words to "gcsctl __complete" and offers its lines, "WORD<tab>MEANING". */
export const completionScripts: Readonly<Record<Shell, string>> = {
  bash: `# bash completion of gcsctl: source <(gcsctl completion bash)
_gcsctl() {
    local line words=() word joined=
    COMPREPLY=()
    # Bash takes "=" and ":" for words of their own; what belongs together is put together again.
    for word in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
        if [[ $word == [=:] && \${#words[@]} -gt 0 ]]; then
            words[-1]+=$word joined=1
        elif [[ -n $joined ]]; then
            words[-1]+=$word joined=
        else
            words+=("$word")
        fi
    done
    local typed=\${words[-1]-} shown=\${COMP_WORDS[COMP_CWORD]}
    [[ $shown == [=:] ]] && shown=
    local cut=$((\${#typed} - \${#shown}))
    while IFS= read -r line; do
        if [[ $line == ${FILES} ]]; then
            compopt -o default 2>/dev/null
        else
            line=\${line%%$'\\t'*}
            COMPREPLY+=("\${line:cut}")
        fi
    done < <("\${COMP_WORDS[0]}" __complete -- "\${words[@]}" 2>/dev/null)
}
complete -F _gcsctl gcsctl
`,
  zsh: `#compdef gcsctl
# zsh completion of gcsctl: source <(gcsctl completion zsh)
_gcsctl() {
    local line files= word meaning
    local -a candidates
    for line in "\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -z $line ]] && continue
        if [[ $line == ${FILES} ]]; then
            files=1
        else
            word=\${line%%$'\\t'*} meaning=\${line#*$'\\t'}
            candidates+=("\${word//:/\\\\:}:$meaning")
        fi
    done
    [[ -n $files ]] && _files
    (( \${#candidates} )) && _describe gcsctl candidates
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _gcsctl "$@"
else
    compdef _gcsctl gcsctl
fi
`,
  fish: `# fish completion of gcsctl: gcsctl completion fish | source
function __gcsctl_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    for line in ($words[1] __complete -- $words[2..-1] "$typed" 2>/dev/null)
        if test "$line" = ${FILES}
            __fish_complete_path "$typed"
        else
            echo $line
        end
    end
end
complete -c gcsctl -f -a '(__gcsctl_complete)'
`,
};
