package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/hypersdk/hypersdk/internal/fault"
)

const maxTemplate = 8 << 10

// functions are what a template may call, besides the comparisons. None of them
// makes much of little.
var functions = template.FuncMap{
	"json": func(v any) (string, error) {
		text, err := json.Marshal(v)
		if err == nil && len(text) > maxPayload { // quotes of quotes of quotes
			err = errLong
		}
		return string(text), err
	},
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
	"default": func(other string, v any) any {
		if v == nil || v == "" {
			return other
		}
		return v
	},
}

var allowed = append([]string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index"}, names(functions)...)

func names(f template.FuncMap) (all []string) {
	for name := range f {
		all = append(all, name)
	}
	return all
}

// parseTemplate takes the templates whose work is bounded by their length: no
// loops, no templates inside of templates, no printf.
func parseTemplate(text string) (*template.Template, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("template is longer than %d bytes", maxTemplate)
	}
	t, err := template.New("template").Funcs(functions).Option("missingkey=zero").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("template: %.200s", strings.TrimPrefix(err.Error(), "template: "))
	}
	if len(t.Templates()) > 1 || t.Tree == nil {
		return nil, errors.New("template: define and block are not allowed")
	}
	return t, bounded(t.Root)
}

// bounded refuses nodes that can make a short template run for long.
func bounded(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, c := range n.Nodes {
			if err := bounded(c); err != nil {
				return err
			}
		}
		return nil
	case *parse.ActionNode:
		return bounded(n.Pipe)
	case *parse.IfNode:
		return errors.Join(bounded(n.Pipe), bounded(n.List), bounded(n.ElseList))
	case *parse.WithNode:
		return errors.Join(bounded(n.Pipe), bounded(n.List), bounded(n.ElseList))
	case *parse.PipeNode:
		return each(n.Cmds)
	case *parse.CommandNode:
		return each(n.Args)
	case *parse.ChainNode:
		return bounded(n.Node)
	case *parse.IdentifierNode:
		if !slices.Contains(allowed, n.Ident) {
			return fmt.Errorf("template: the function %.50q is not allowed", n.Ident)
		}
		return nil
	case *parse.TextNode, *parse.FieldNode, *parse.VariableNode, *parse.DotNode, *parse.NilNode, *parse.StringNode, *parse.NumberNode,
		*parse.BoolNode, *parse.CommentNode:
		return nil
	}
	return fmt.Errorf("template: %.50q is not allowed; there are if, with and values", n.String())
}

func each[N parse.Node](nodes []N) error {
	for _, n := range nodes {
		if err := bounded(n); err != nil {
			return err
		}
	}
	return nil
}

// execute makes JSON of a message. Values are reached by the names of the form
// standard; .title is its first line for people.
func execute(text string, m Message) (string, error) {
	t, err := parseTemplate(text)
	if err != nil {
		return "", badTemplate(err.Error())
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("encode a message: %w", err)
	}
	var data map[string]any
	if err := json.Unmarshal(raw, &data); err != nil {
		return "", fmt.Errorf("encode a message: %w", err)
	}
	data["title"] = m.Title()
	var out limited
	if err := t.Execute(&out, data); err != nil {
		if errors.Is(err, errLong) {
			return "", tooLong()
		}
		return "", badTemplate(fmt.Sprintf("%.200s", err.Error()))
	}
	if !json.Valid(out.Bytes()) {
		return "", badTemplate("the template makes no JSON of an event; write values as {{json .type}}")
	}
	return out.String(), nil
}

func badTemplate(why string) error {
	return fault.New(fault.Unprocessable, "HX-HOOK-022", why, "correct the template")
}

var errLong = errors.New("too long")

// limited takes only so much.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxPayload {
		return 0, errLong
	}
	return l.Buffer.Write(p)
}
