package job

import (
	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

func parseYAML(body []byte) (*node, error) {
	var doc yaml.Node
	err := yaml.Load(body, &doc, yaml.WithUniqueKeys(false), // checked here, with the line
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth), loaderlimits.AliasValue(0))))
	if err != nil {
		return nil, malformed("no YAML: " + err.Error())
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, malformed("the body holds no YAML document")
	}
	return fromYAML(doc.Content[0])
}

func fromYAML(y *yaml.Node) (*node, error) {
	switch {
	case y.Kind == yaml.AliasNode || y.Anchor != "":
		return nil, atLine(y.Line, "anchors and aliases are not allowed")
	case y.Style&yaml.TaggedStyle != 0:
		return nil, atLine(y.Line, "tags are not allowed")
	}
	n := &node{pos: pos{y.Line, y.Column}, text: y.Value}
	switch y.Kind {
	case yaml.SequenceNode:
		n.kind = kindList
		for _, c := range y.Content {
			item, err := fromYAML(c)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
		return n, nil
	case yaml.MappingNode:
		n.kind = kindMap
		return n, n.addYAML(y.Content)
	}
	switch y.ShortTag() {
	case "!!null":
		n.kind = kindNull
	case "!!bool":
		n.kind = kindBool
	case "!!int", "!!float":
		n.kind = kindNumber
	default:
		n.kind = kindString
	}
	return n, nil
}

// addYAML adds keys and values, which alternate in content.
func (n *node) addYAML(content []*yaml.Node) error {
	for i := 0; i+1 < len(content); i += 2 {
		key, err := fromYAML(content[i])
		if err != nil {
			return err
		}
		if key.kind != kindString || content[i].ShortTag() == "!!merge" {
			return atLine(key.line, "a key must be a plain text")
		}
		value, err := fromYAML(content[i+1])
		if err != nil {
			return err
		}
		if err := n.add(pair{pos: key.pos, key: key.text, value: value}); err != nil {
			return err
		}
	}
	return nil
}
