// Type-checks every dashboard and the options of its panels against @grafana/schema; exit 1 with each fault.
//
// A dashboard becomes a literal of Grafana's own type, so that a key that the schema does not know is an error too.
import fs from "node:fs";
import path from "node:path";
import ts from "typescript";

const here = import.meta.dirname;
const dashboards = process.argv[2] ?? path.join(here, "..", "dashboards");
const composable = "@grafana/schema/dist/esm/raw/composable";

// Panel type: where its options and its custom field settings are described.
const panels = {
  stat: "stat/panelcfg/x/StatPanelCfg_types.gen",
  table: "table/panelcfg/x/TablePanelCfg_types.gen",
  timeseries: "timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen",
  "state-timeline": "statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen",
  bargauge: "bargauge/panelcfg/x/BarGaugePanelCfg_types.gen",
  geomap: "geomap/panelcfg/x/GeomapPanelCfg_types.gen",
  text: "text/panelcfg/x/TextPanelCfg_types.gen",
};
const withFields = ["table", "timeseries", "state-timeline"];

const head = `
import type { AnnotationQuery, Dashboard } from "@grafana/schema";
${Object.entries(panels).map(([type, file]) => `import type * as ${name(type)} from "${composable}/${file}";`).join("\n")}
// JSON holds an enum's text where TypeScript wants its name.
type Plain<T> = 0 extends 1 & T ? T
  : T extends string ? \`\${T}\`
  : T extends (infer U)[] ? Plain<U>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> }
  : T;
// What the data sources themselves read of an annotation stands beside what the schema knows.
type Mark = Plain<AnnotationQuery> & {
  expr?: string; step?: string; titleFormat?: string; textFormat?: string; tagKeys?: string; useValueForTime?: boolean;
  query?: string; textColumn?: string; tagsColumn?: string;
};
type Board = Plain<Omit<Dashboard, "annotations">> & { annotations: { list: Mark[] } };
`;

function name(type) {
  return type.replace("-", "_");
}

function flat(list) {
  return list.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
}

function source(dashboard) {
  const lines = [head, `const board: Board = ${JSON.stringify(dashboard, null, 1)};`];
  for (const panel of flat(dashboard.panels)) {
    if (panel.type === "row") continue;
    if (!(panel.type in panels)) throw new Error(`${dashboard.uid}: no schema for a panel of type ${panel.type}`);
    const own = `${name(panel.type)}`;
    lines.push(`const options_${panel.id}: Plain<${own}.Options> = ${JSON.stringify(panel.options)};`);
    const custom = panel.fieldConfig?.defaults?.custom;
    if (withFields.includes(panel.type) && custom) {
      lines.push(`const custom_${panel.id}: Plain<${own}.FieldConfig> = ${JSON.stringify(custom)};`);
    }
  }
  return `${lines.join("\n")}\nexport { board };\n`;
}

const files = fs.readdirSync(dashboards, { recursive: true }).filter((file) => file.endsWith(".json")).sort();
if (files.length === 0) throw new Error(`no dashboards in ${dashboards}`);
const made = new Map(
  files.map((file) => [
    path.join(here, `${file.replaceAll(/[^a-z0-9]+/gi, "_")}.ts`),
    source(JSON.parse(fs.readFileSync(path.join(dashboards, file), "utf8"))),
  ]),
);
const options = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  target: ts.ScriptTarget.ES2022,
  types: [],
};
const host = ts.createCompilerHost(options);
const { readFile, fileExists, getSourceFile } = host;
host.readFile = (file) => made.get(path.normalize(file)) ?? readFile(file);
host.fileExists = (file) => made.has(path.normalize(file)) || fileExists(file);
host.getSourceFile = (file, ...rest) =>
  made.has(path.normalize(file))
    ? ts.createSourceFile(file, made.get(path.normalize(file)), options.target)
    : getSourceFile(file, ...rest);
const found = ts.getPreEmitDiagnostics(ts.createProgram([...made.keys()], options, host));
if (found.length > 0) console.error(ts.formatDiagnostics(found, { ...host, getNewLine: () => "\n" }));
console.log(`${files.length} dashboards, ${found.length} faults`);
process.exit(found.length > 0 ? 1 : 0);
