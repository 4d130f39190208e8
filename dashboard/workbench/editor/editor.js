// The editor of the SQL workbench: CodeMirror with the names of the catalogue, as a Streamlit component.
// Bundled into editor.bundle.js; see README.md. What it shows comes from `data`, never as markup.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { SQLDialect, sql } from "@codemirror/lang-sql";
import { bracketMatching, defaultHighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, drawSelection, keymap, lineNumbers, placeholder } from "@codemirror/view";

const KEYWORDS =
  "select from where group by having order limit offset distinct all as on using join left right full inner outer cross " +
  "semi anti asof lateral union intersect except with recursive qualify window over partition rows range between and or not " +
  "in is null true false like ilike case when then else end cast try_cast exists explain analyze describe summarize pivot " +
  "unpivot values asc desc nulls first last filter exclude replace interval date timestamp rollup cube grouping sets fetch";
const TYPES = "bigint integer double decimal varchar boolean date timestamp timestamptz hugeint";
const look = EditorView.theme({
  "&": { fontSize: "14px", border: "1px solid #5b6b7b", borderRadius: "6px", backgroundColor: "#ffffff", color: "#1b2733" },
  "&.cm-focused": { outline: "2px solid #0f5fa8", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "ui-monospace, Menlo, Consolas, monospace", minHeight: "180px", maxHeight: "420px", overflow: "auto" },
  ".cm-gutters": { backgroundColor: "#f4f6f8", color: "#5b6b7b" },
  ".cm-tooltip": { direction: "ltr" },
  ".cm-placeholder": { color: "#5b6b7b" },
});

function schemaOf(tables) {
  // {schema: {table: [columns]}} as lang-sql wants it, with what a column or table is beside its name
  const found = {};
  for (const { schema, name, info, columns } of tables) {
    found[schema] ??= {};
    found[schema][name] = {
      self: { label: name, type: "type", info: info || undefined },
      children: columns.map(({ name, type, info }) => ({ label: name, type: "property", detail: type, info: info || undefined })),
    };
  }
  return found;
}

function language(data) {
  const dialect = SQLDialect.define({
    keywords: KEYWORDS, types: TYPES, builtin: data.functions.join(" "),
    doubleQuotedStrings: false, unquotedBitLiterals: false, slashComments: false,
  });
  return sql({ dialect, schema: schemaOf(data.tables), defaultSchema: "marts", upperCaseKeywords: true });
}

const mounted = new WeakMap();

export default function (component) {
  const { data, parentElement, setStateValue, setTriggerValue } = component;
  const place = parentElement.querySelector(".tj-editor");
  let one = mounted.get(place);
  if (one === undefined) {
    one = { version: data.version, catalogue: data.catalogue, sent: data.text, words: new Compartment() };
    const send = (view) => {
      const text = view.state.doc.toString();
      if (text !== one.sent) {
        one.sent = text;
        one.setStateValue("text", { text, version: one.version });
      }
    };
    const run = (view) => {
      one.sent = view.state.doc.toString();
      one.setTriggerValue("run", { text: one.sent, version: one.version });
      return true;
    };
    one.view = new EditorView({
      parent: place,
      root: parentElement instanceof ShadowRoot ? parentElement : document,
      state: EditorState.create({
        doc: data.text,
        extensions: [
          lineNumbers(), history(), drawSelection(), indentOnInput(), bracketMatching(), closeBrackets(),
          autocompletion({ icons: false }),
          syntaxHighlighting(defaultHighlightStyle),
          keymap.of([
            { key: "Mod-Enter", run },
            ...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap,
          ]),
          one.words.of(language(data)),
          placeholder(data.hint),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": data.label, spellcheck: "false", dir: "ltr" }),
          EditorView.domEventHandlers({ blur: (_event, view) => { send(view); return false; } }),
          look,
        ],
      }),
    });
    mounted.set(place, one);
  }
  one.setStateValue = setStateValue;
  one.setTriggerValue = setTriggerValue;
  if (one.version !== data.version) {
    one.version = data.version;
    one.sent = data.text;
    one.view.dispatch({ changes: { from: 0, to: one.view.state.doc.length, insert: data.text } });
  }
  if (one.catalogue !== data.catalogue) {
    one.catalogue = data.catalogue;
    one.view.dispatch({ effects: one.words.reconfigure(language(data)) });
  }
}
