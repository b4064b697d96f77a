/**
 * What the shells source. Nothing of the line, and nothing that the server answers, is ever evaluated: an agent chooses its labels, and one of
 * them may read `$(…)`. So no `eval` and no `compgen -W`, and what is inserted is quoted.
 */

/** Works without the package bash-completion. */
const BASH = `# bash completion for openline: source <(openline completion bash)
__openline_complete() {
  local -a words=()
  local word value quote='' current='' part='' rest=\${COMP_LINE:0:COMP_POINT} i
  # COMP_WORDS is also split at = and :, and readline replaces only the last part. What no blank separates is one word for openline.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ $rest == [[:blank:]]* || $i -eq 0 ]]; then
      rest=\${rest#"\${rest%%[![:blank:]]*}"}
      words+=('')
    fi
    part=\${rest:0:\${#word}}
    rest=\${rest:\${#word}}
    if [[ $i -eq COMP_CWORD && $part == [\\'\\"]* ]]; then quote=\${part:0:1}; fi
    part=\${part//[\\'\\"\\\\]/}
    words[\${#words[@]}-1]+=$part
  done
  current=\${words[\${#words[@]}-1]}
  if [[ $part == *[!=:@]* ]]; then part=\${current%"$part"}; else part=$current; fi
  while IFS= read -r word; do
    case $word in
      :files) compopt -o default 2>/dev/null ;;
      :*) ;;
      *)
        value=\${word%%$'\\t'*}
        value=\${value#"$part"}
        [[ -n $value ]] || continue
        if [[ $value == *[!a-zA-Z0-9_./:=@,+%-]* ]]; then
          [[ -z $quote ]] || continue
          printf -v value %q "$value"
        fi
        COMPREPLY+=("$value")
        ;;
    esac
  done < <(openline complete -- "\${words[@]:1}" 2>/dev/null)
  if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -F __openline_complete openline
`;

const ZSH = `#compdef openline
# zsh completion for openline: source <(openline completion zsh), or put it as _openline into a folder of $fpath
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }

_openline() {
  local -a plain open
  local line value described
  local -i files=0 found=1
  for line in "\${(@f)$(openline complete -- "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)}"; do
    case $line in
      :files) files=1 ;;
      :*|'') ;;
      *)
        value=\${line%%$'\\t'*}
        described="\${\${value//\\\\/\\\\\\\\}//:/\\\\:}"
        [[ $line == *$'\\t' ]] || described+=":\${line#*$'\\t'}"
        if [[ $value == *= ]]; then open+=("$described"); else plain+=("$described"); fi
        ;;
    esac
  done
  (( $#plain )) && _describe openline plain && found=0
  (( $#open )) && _describe openline open -S '' && found=0
  if (( files )); then
    compset -P '*='
    _files && found=0
  fi
  return found
}

if [[ \${funcstack[1]} == _openline ]]; then _openline "$@"; else compdef _openline openline; fi
`;

const FISH = `# fish completion for openline: openline completion fish | source
function __openline_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct | string replace -r '^[\\'"]' '' | string replace -ra '\\\\\\\\(.)' '$1')
    for line in (openline complete -- $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case ':files'
                set -l before (string match -r '^.*=' -- "$current")
                for path in (__fish_complete_path (string replace -r '^.*=' '' -- "$current"))
                    echo "$before$path"
                end
            case ':*'
            case '*'
                echo $line
        end
    end
end
complete -c openline -e
complete -c openline -f -a '(__openline_complete)'
`;

export const SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH } as const;
