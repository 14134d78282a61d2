package graph

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Limits of one operation. They are judged before it is validated: validating is
// what a bomb goes for.
const (
	maxTokens  = 2000
	maxQuery   = 64 << 10 // bytes of the query; what is larger goes into variables
	maxDepth   = 10       // levels of fields
	maxSchema  = 16       // levels of fields below __schema and __type
	maxAliases = 20       // fields with another name
	maxRoots   = 20       // root fields: each is a call of the service
	maxFields  = 1000     // fields in all, fragments spread out
	maxCost    = 30_000   // fields of the answer, lists multiplied
	// listCost is how many elements a list counts for whose length is not given.
	listCost = 5
)

// limits refuses operations that cost too much. It is an extension of the
// executor.
type limits struct{ seen *cache }

// ExtensionName implements graphql.HandlerExtension.
func (*limits) ExtensionName() string { return "limits" }

// Validate implements graphql.HandlerExtension.
func (*limits) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters judges the query's form before it is validated.
func (l *limits) MutateOperationParameters(ctx context.Context, p *graphql.RawParams) *gqlerror.Error {
	if len(p.Query) > maxQuery {
		return refused("the query is longer than %d bytes", maxQuery)
	}
	if _, known := l.seen.Get(ctx, p.Query); known {
		return nil
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: p.Query}, maxTokens)
	if err != nil {
		return nil //nolint:nilerr // the executor says it
	}
	for _, op := range doc.Operations {
		w := walker{doc: doc, fields: maxFields}
		if err := w.walk(op.SelectionSet, 1, maxDepth); err != nil {
			return err
		}
		if w.roots > maxRoots {
			return refused("the operation has more than %d root fields", maxRoots)
		}
	}
	return nil
}

// MutateOperationContext judges the cost of a valid operation.
func (*limits) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	op.DisableIntrospection = false // whoever got here has a credential
	if cost(op.Operation.SelectionSet, op.Variables) > maxCost {
		return refused("the answer might hold more than %d fields; lists count by limit and first", maxCost)
	}
	return nil
}

func refused(format string, args ...any) *gqlerror.Error {
	e := fault.Newf(fault.Unprocessable, "HX-GQL-008", "ask for less at once", format, args...)
	return &gqlerror.Error{Err: e, Message: e.Msg}
}

// walker counts what an operation asks for, fragments spread out. It stops at the
// first limit: fragments can multiply without end.
type walker struct {
	doc     *ast.QueryDocument
	fields  int // that are left
	aliases int
	roots   int
	spreads int // fragments within each other
}

func (w *walker) walk(set ast.SelectionSet, level, deepest int) *gqlerror.Error {
	for _, s := range set {
		if w.fields--; w.fields < 0 {
			return refused("the operation asks for more than %d fields", maxFields)
		}
		var err *gqlerror.Error
		switch s := s.(type) {
		case *ast.Field:
			err = w.field(s, level, deepest)
		case *ast.InlineFragment:
			err = w.walk(s.SelectionSet, level, deepest)
		case *ast.FragmentSpread:
			err = w.spread(s, level, deepest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) field(f *ast.Field, level, deepest int) *gqlerror.Error {
	if level == 1 {
		w.roots++
		if f.Name == "__schema" || f.Name == "__type" {
			deepest = maxSchema
		}
	}
	if level > deepest {
		return refused("the operation is deeper than %d levels", deepest)
	}
	if f.Alias != f.Name {
		if w.aliases++; w.aliases > maxAliases {
			return refused("the operation has more than %d aliases", maxAliases)
		}
	}
	return w.walk(f.SelectionSet, level+1, deepest)
}

func (w *walker) spread(s *ast.FragmentSpread, level, deepest int) *gqlerror.Error {
	f := w.doc.Fragments.ForName(s.Name)
	if f == nil {
		return nil // the executor says it
	}
	if w.spreads++; w.spreads > maxDepth {
		return refused("fragments are spread more than %d deep, or in a circle", maxDepth)
	}
	err := w.walk(f.SelectionSet, level, deepest)
	w.spreads--
	return err
}

// cost counts the fields of the answer. The walk has bounded the fields.
func cost(set ast.SelectionSet, vars map[string]any) int {
	sum := 0
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			sum += fieldCost(s, vars)
		case *ast.InlineFragment:
			sum += cost(s.SelectionSet, vars)
		case *ast.FragmentSpread:
			if s.Definition != nil {
				sum += cost(s.Definition.SelectionSet, vars)
			}
		}
		if sum > maxCost {
			break
		}
	}
	return sum
}

func fieldCost(f *ast.Field, vars map[string]any) int {
	if len(f.SelectionSet) == 0 || f.Definition == nil || f.Name == "__schema" || f.Name == "__type" {
		return 1
	}
	inner, times := cost(f.SelectionSet, vars), 1
	switch {
	case asks(f, "limit"), asks(f, "first"):
		times = max(length(f, vars), 1)
	case f.Definition.Type.Elem != nil && f.Name != "nodes" && f.Name != "edges": // their connection has counted
		times = listCost
	}
	if times > maxCost {
		return maxCost + 1
	}
	return 1 + times*inner
}

func asks(f *ast.Field, name string) bool {
	a := f.Definition.Arguments.ForName(name)
	return a != nil && a.Type.NamedType == "Int"
}

// length is what limit or first says; 50 unless told.
func length(f *ast.Field, vars map[string]any) int {
	args := f.ArgumentMap(vars)
	for _, name := range []string{"limit", "first"} {
		switch n := args[name].(type) {
		case int64:
			return int(n)
		case int:
			return n
		case json.Number:
			if v, err := strconv.Atoi(n.String()); err == nil {
				return v
			}
			return maxCost + 1
		}
	}
	return 50
}

// cache keeps valid queries by their text, so that they are judged once. It is
// bounded: when it is full it begins anew.
type cache struct {
	mu   sync.RWMutex
	docs map[string]*ast.QueryDocument
}

const (
	maxCached      = 200
	maxCachedQuery = 4 << 10 // bytes
)

func newCache() *cache { return &cache{docs: make(map[string]*ast.QueryDocument)} }

// Get implements graphql.Cache.
func (c *cache) Get(_ context.Context, query string) (*ast.QueryDocument, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	doc, found := c.docs[query]
	return doc, found
}

// Add implements graphql.Cache.
func (c *cache) Add(_ context.Context, query string, doc *ast.QueryDocument) {
	if len(query) > maxCachedQuery {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.docs) >= maxCached {
		clear(c.docs)
	}
	c.docs[query] = doc
}
