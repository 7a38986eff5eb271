import "uplot/dist/uPlot.min.css";
// Draws one dashboard with Grafana's own components: big figures, time series, tables and bars. State timelines, maps
// and texts are in Grafana's core and not on npm: their places show their titles.
import {
  FieldType, applyFieldOverrides, cacheFieldDisplayNames, createTheme, dateTime, getFieldDisplayValues,
  FieldConfigOptionsRegistry, identityOverrideProcessor, standardTransformers, standardTransformersRegistry,
  toDataFrame, transformDataFrame,
} from "@grafana/data";
import { BarGauge, BigValue, PanelChrome, ThemeContext, TimeSeries } from "@grafana/ui";
import { TableNG } from "@grafana/ui/unstable";
import { createRoot } from "react-dom/client";
import { lastValueFrom } from "rxjs";

const { board, answers, times } = window.SANSANG;
const range = { from: dateTime(times.from), to: dateTime(times.to), raw: { from: dateTime(times.from), to: dateTime(times.to) } };
const theme = createTheme({ colors: { mode: "light" } });
const COLUMN = 1600 / 24;
const ROW = 38;
const TYPES = { string: FieldType.string, number: FieldType.number, time: FieldType.time };

standardTransformersRegistry.setInit(() => {
  const all = Object.values(standardTransformers).filter((one) => one?.id);
  const unique = all.filter((one, at) => all.findIndex((other) => other.id === one.id) === at);
  return unique.map((one) => ({ id: one.id, name: one.name, transformation: async () => one, editor: async () => null }));
});

// The properties of a field that our dashboards set; the registry that Grafana fills is in its core.
const registry = new FieldConfigOptionsRegistry(() =>
  ["displayName", "unit", "mappings", "thresholds", "noValue", "decimals", "min", "max", "color", "links"]
    .map((id) => ({ id, path: id, name: id, isCustom: false, process: identityOverrideProcessor, shouldApply: () => true }))
    .concat(
      ["width", "minWidth", "wrapText", "cellOptions", "inspect", "align", "hideFrom", "lineWidth", "fillOpacity", "fillBelowTo", "drawStyle",
        "axisPlacement", "showPoints", "pointSize", "spanNulls", "stacking", "thresholdsStyle"]
        .map((name) => ({ id: `custom.${name}`, path: name, name, isCustom: true, process: identityOverrideProcessor, shouldApply: () => true })),
    ),
);

async function fieldsOf(panel) {
  let frames = (answers[panel.id] ?? []).map((frame) =>
    toDataFrame({ ...frame, fields: frame.fields.map((field) => ({ ...field, type: TYPES[field.type], config: { ...field.config } })) }),
  );
  if (panel.transformations) frames = await lastValueFrom(transformDataFrame(panel.transformations, frames));
  const made = applyFieldOverrides({
    data: frames, fieldConfig: panel.fieldConfig, theme, replaceVariables: (text) => text,
    fieldConfigRegistry: registry, timeZone: "Asia/Ho_Chi_Minh",
  });
  cacheFieldDisplayNames(made);
  return made;
}

function Drawn({ panel, frames, width, height }) {
  if (frames.every((frame) => frame.length === 0)) return <p style={{ padding: 12 }}>{panel.fieldConfig.defaults.noValue}</p>;
  if (panel.type === "table") return <TableNG data={frames[0]} width={width} height={height} cellHeight={panel.options.cellHeight} initialSortBy={panel.options.sortBy} timeRange={range} fieldConfig={panel.fieldConfig} />;
  if (panel.type === "timeseries") {
    return (
      <TimeSeries frames={frames} structureRev={1} timeRange={range} timeZone="Asia/Ho_Chi_Minh" width={width} height={height}
        legend={{ ...panel.options.legend, calcs: [] }} options={panel.options} />
    );
  }
  const values = getFieldDisplayValues({
    fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, replaceVariables: (text) => text,
    theme, data: frames, timeZone: "Asia/Ho_Chi_Minh",
  });
  if (panel.type === "stat") {
    return <BigValue theme={theme} value={values[0].display} colorMode="background_solid" graphMode="none" justifyMode="center" textMode="value" width={width} height={height} />;
  }
  const each = height / values.length;
  return values.map((value, at) => (
    <BarGauge key={at} theme={theme} value={value.display} field={value.field} display={value.view?.getFieldDisplayProcessor(value.colIndex)}
      width={width} height={each - 6} orientation="horizontal" displayMode="basic" valueDisplayMode="color" itemSpacing={6} lcdCellWidth={12} showUnfilled />
  ));
}

const DRAWN = ["stat", "table", "timeseries", "bargauge"];

async function main() {
  const panels = board.panels.filter((panel) => panel.type !== "row");
  const ready = await Promise.all(panels.map(async (panel) => ({ panel, frames: DRAWN.includes(panel.type) ? await fieldsOf(panel) : [] })));
  const bottom = Math.max(...panels.map((panel) => panel.gridPos.y + panel.gridPos.h));
  createRoot(document.getElementById("root")).render(
    <ThemeContext.Provider value={theme}>
      <h1 style={{ font: "500 20px Inter, Noto Sans, sans-serif", margin: "8px 12px" }}>{board.title}</h1>
      <div style={{ position: "relative", width: 1600, height: bottom * ROW }}>
        {ready.map(({ panel, frames }) => {
          const { x, y, w, h } = panel.gridPos;
          return (
            <div key={panel.id} style={{ position: "absolute", left: x * COLUMN + 4, top: y * ROW + 4 }}>
              <PanelChrome title={panel.title} width={w * COLUMN - 8} height={h * ROW - 8}>
                {(width, height) =>
                  DRAWN.includes(panel.type)
                    ? <Drawn panel={panel} frames={frames} width={width} height={height} />
                    : <p style={{ padding: 12, color: "#888" }}>({panel.type})</p>}
              </PanelChrome>
            </div>
          );
        })}
      </div>
    </ThemeContext.Provider>,
  );
}

main().catch((error) => { document.body.textContent = String(error.stack); });
