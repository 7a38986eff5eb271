// Draws a dashboard's panels with Grafana's own components, over answers of a running VictoriaMetrics, into a PNG.
//
//   python -m tests.grafana http://127.0.0.1:8428                  (from the project's root: the tests' simulated week)
//   npm ci && node render.mjs http://127.0.0.1:8428 1763692200 vi 1-today today.png 520
//
// that is: metrics' URL, end of the range in Unix seconds, language, dashboard, file, height. Needs Chromium and some
// 600 MB for node_modules. Not part of the tests: it is for looking at.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { build } from "esbuild";

const [url, at, language, name, into, height = "1100"] = process.argv.slice(2);
const here = import.meta.dirname;
const boards = process.env.SANSANG_DASHBOARDS ?? path.join(here, "..", "dashboards");
const board = JSON.parse(fs.readFileSync(path.join(boards, language, "promql", `${name}.json`), "utf8"));
const endS = Number(at);
const startS = endS - { "now-24h": 86400, "now-7d": 7 * 86400 }[board.time.from];
const choices = { province: ".*", room: name.endsWith("room") ? "room-005" : ".*", lesson: "lesson-zoom", hour_from: "7", hour_to: "17" };

function stepOf(panel) {
  const least = { "1m": 60, "2m": 120, "5m": 300, "10m": 600, "1d": 86400 }[panel.interval ?? "1m"];
  const wanted = (endS - startS) / 1000;
  return [60, 120, 300, 600, 900, 1800, 86400].find((step) => step >= Math.max(wanted, least));
}

function filled(query, step) {
  const marks = { "$__rate_interval": `${step * 4}s`, "$__interval": `${step}s`, "$__range": `${endS - startS}s` };
  for (const [choice, text] of Object.entries(choices)) marks[`$${choice}`] = text;
  return Object.entries(marks).reduce((text, [mark, value]) => text.replaceAll(mark, value), query);
}

// Frames as Grafana's Prometheus data source makes them.
async function frames(panel) {
  const step = stepOf(panel);
  const made = [];
  for (const target of panel.targets ?? []) {
    const body = new URLSearchParams({ query: filled(target.expr, step), nocache: "1" });
    for (const [key, value] of Object.entries(target.range ? { start: Math.floor(startS / step) * step, end: endS, step } : { time: endS })) body.set(key, value);
    const answer = await (await fetch(`${url}/api/v1/query${target.range ? "_range" : ""}`, { method: "POST", body })).json();
    if (answer.status !== "success") throw new Error(`${panel.title}: ${JSON.stringify(answer)}`);
    const rows = answer.data.result;
    if (target.format === "table") {
      const labels = [...new Set(rows.flatMap((row) => Object.keys(row.metric)))].sort();
      const value = panel.targets.length > 1 ? `Value #${target.refId}` : "Value";
      made.push({ refId: target.refId, fields: [
        { name: "Time", type: "time", values: rows.map((row) => row.value[0] * 1000) },
        ...labels.map((label) => ({ name: label, type: "string", values: rows.map((row) => row.metric[label] ?? "") })),
        { name: value, type: "number", values: rows.map((row) => Number(row.value[1])) },
      ] });
      continue;
    }
    for (const row of rows) {
      const legend = target.legendFormat.replace(/{{(\w+)}}/g, (_, label) => row.metric[label] ?? "");
      const points = target.range ? row.values : [row.value];
      made.push({ refId: target.refId, name: legend, fields: [
        { name: "Time", type: "time", values: points.map(([second]) => second * 1000) },
        { name: "Value", type: "number", labels: row.metric, config: { displayNameFromDS: legend }, values: points.map(([, number]) => Number(number)) },
      ] });
    }
  }
  return made;
}

const answers = {};
for (const panel of board.panels) if (panel.type !== "row") answers[panel.id] = await frames(panel);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "sansang-render-"));
await build({
  entryPoints: [path.join(here, "page.jsx")], bundle: true, outfile: path.join(folder, "page.js"), jsx: "automatic",
  define: { "process.env.NODE_ENV": '"production"', global: "window" }, logLevel: "error",
  // Their ES modules take some packages of the older kind for something else; their CommonJS does not.
  alias: {
    "@grafana/ui/unstable": path.join(here, "node_modules/@grafana/ui/dist/cjs/unstable.cjs"),
    "@grafana/ui": path.join(here, "node_modules/@grafana/ui/dist/cjs/index.cjs"),
    "@grafana/data": path.join(here, "node_modules/@grafana/data/dist/cjs/index.cjs"),
  },
  loader: { ".svg": "text", ".ttf": "empty", ".woff": "empty", ".woff2": "empty" },
  banner: { js: "window.process = { env: {} };" }, mainFields: ["browser", "module", "main"],
});
const range = { from: startS * 1000, to: endS * 1000 };
const data = JSON.stringify({ board, answers }).replaceAll("<", "\\u003c");
fs.writeFileSync(path.join(folder, "index.html"), `<!doctype html><html lang="${language}"><meta charset="utf-8">
<link rel="stylesheet" href="page.css"><style>body { margin: 0; background: #f4f5f5; font: 14px "Noto Sans", sans-serif; }</style><div id="root"></div>
<script>window.SANSANG = ${data}; window.SANSANG.times = ${JSON.stringify(range)};</script><script src="page.js"></script></html>`);
execFileSync(process.env.CHROMIUM ?? "chromium", [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files", "--virtual-time-budget=20000",
  `--window-size=1608,${height}`, `--screenshot=${path.resolve(into)}`, `file://${folder}/index.html`,
], { stdio: ["ignore", "ignore", process.env.SANSANG_LOUD ? "inherit" : "ignore"] });
if (!process.env.SANSANG_LOUD) fs.rmSync(folder, { recursive: true });
else console.log(folder);
