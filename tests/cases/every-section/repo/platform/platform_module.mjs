export const provide = 1;
